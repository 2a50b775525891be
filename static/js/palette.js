// How an organisation looks in charts: colour, dash and shape together, so that colour is never the only sign.

export const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "plus", "pentagon", "ring"];
export const DASHES = [[], [9, 4], [3, 3], [12, 4, 3, 4], [6, 3], [2, 4], [14, 5], [4, 2, 4, 6]];

/** Resolve a CSS colour, custom properties and light-dark() included, to what a canvas understands. */
export function cssColour(expression, near = document.body) {
  const probe = document.createElement("span");
  probe.hidden = true;
  probe.style.color = expression;
  near.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

/** The look of the organisation at a place (from 0). */
export function orgLook(place) {
  const index = ((place % SHAPES.length) + SHAPES.length) % SHAPES.length;
  return { colour: cssColour(`var(--cl-org-${index + 1})`), shape: SHAPES[index], dash: DASHES[index] };
}

const PATHS = {
  circle: "M6 1a5 5 0 1 0 0 10A5 5 0 0 0 6 1z",
  square: "M1.5 1.5h9v9h-9z",
  triangle: "M6 1l5.2 10H.8z",
  diamond: "M6 .5L11.5 6 6 11.5.5 6z",
  cross: "M2.6 1L6 4.4 9.4 1 11 2.6 7.6 6 11 9.4 9.4 11 6 7.6 2.6 11 1 9.4 4.4 6 1 2.6z",
  plus: "M4.6 1h2.8v3.6H11v2.8H7.4V11H4.6V7.4H1V4.6h3.6z",
  pentagon: "M6 .8l5.4 4-2 6.2H2.6l-2-6.2z",
  ring: "M6 1a5 5 0 1 0 0 10A5 5 0 0 0 6 1zm0 2.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5z",
};

/** The shape as a path for a canvas, in a box of 12 by 12. */
export function shapePath(shape) {
  return new Path2D(PATHS[shape] ?? PATHS.circle);
}

/** The shape as a small SVG element in the organisation's colour; hollow for held-out curves. */
export function shapeElement(look, hollow = false) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 12 12");
  svg.setAttribute("width", "12");
  svg.setAttribute("height", "12");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[look.shape] ?? PATHS.circle);
  path.setAttribute("fill", hollow ? "none" : look.colour);
  if (hollow) {
    path.setAttribute("stroke", look.colour);
    path.setAttribute("stroke-width", "1.8");
    svg.setAttribute("viewBox", "-1 -1 14 14");
  }
  svg.append(path);
  return svg;
}
