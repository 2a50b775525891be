// What every page runs. Each part listens on the document, so that content swapped in later works too.
import "./nav.js";
import "./copy.js";
import "./time.js";
import "./dialogs.js";
import "./forms.js";
import "./why.js";
import "./htmx.js";
