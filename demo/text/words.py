"""Word lists from which all generated text is made: ordinary words, names and places."""

from __future__ import annotations


def listed(text: str) -> list[str]:
    """Return the words of a text."""
    return text.split()


FIRST_NAMES = listed("""
Ada Adam Agnes Ahmed Alba Alice Amara Amir Andrea Anton Anya Arif Astrid Bela Bruno Carla Celia Chen Clara Dana
Daniel Daria David Diego Dora Edith Elena Elias Elif Emil Emma Erik Esther Eva Farid Felix Fiona Franz Grace
Greta Hana Hannah Hector Helen Hugo Ida Igor Ines Irene Isaac Ivan Jana Jonas Jorge Judith Julia Karim Karin
Kenji Lara Laura Leila Leon Lina Luca Lucia Magda Malik Marek Maria Marta Mateo Maya Mila Miriam Nadia Nina Noah
Nora Olga Omar Oscar Paula Pavel Petra Rafael Rania Rosa Ruth Samir Sara Simon Sofia Stefan Sven Tamar Tara Theo
Tomas Vera Victor Yara Yusuf Zoe
""")

SURNAMES = listed("""
Abbas Adler Alvarez Andersen Bauer Becker Bergman Bianchi Blanco Borg Brandt Castro Costa Dahl Demir Dubois
Duarte Eriksen Farkas Ferrari Fischer Fontana Garcia Haddad Hansen Hartmann Herrera Hoffman Horvat Ibrahim
Jansen Kaplan Keller Khan Koch Kovacs Kowalski Kumar Lang Larsen Lehmann Leroy Lindgren Lopez Lund Maier Marino
Martin Mendes Meyer Molina Moreau Moretti Nagy Nilsen Novak Okafor Olsen Ortiz Pavlov Pereira Petrov Popescu
Ramos Ricci Rossi Roth Ruiz Saito Salem Santos Schmidt Schneider Serra Silva Sokolov Steiner Suzuki Tanaka
Torres Urban Vargas Vidal Vogel Wagner Weber Weiss Winter Wolf Yilmaz Zeman Ziegler
""")

CITIES = listed("""
Athens Basel Bergen Berlin Bern Bologna Bremen Brno Cadiz Cairo Cork Delft Dresden Dublin Geneva Genoa Ghent
Graz Hamburg Krakow Leeds Leiden Lille Linz Lisbon London Lyon Madrid Malmo Milan Munich Nantes Naples Nice Oslo
Paris Porto Prague Riga Rome Seville Sofia Tallinn Turin Utrecht Vienna Vilnius Warsaw York Zagreb Zurich
""")

COLOURS = ["red", "blue", "green", "yellow", "black", "white", "brown", "grey", "orange", "purple", "pink", "silver"]

THINGS = listed("""
apple bag ball basket bell bicycle book bottle box brush bucket button camera candle card chair clock coat cup
desk door drum engine fan flag flower glass glove hammer hat kettle key knife ladder lamp letter map mirror
needle paper parcel pen pencil phone picture pillow pipe plate pot radio ring rope ruler scarf shelf ship shoe
spoon stone suitcase table tent ticket tool towel train tray umbrella wheel window
""")

PLACES = listed("""
airport bakery beach bridge cafe castle cellar church cinema corner farm field forest garage garden hall harbour
hotel kitchen lake library market museum office park river road room school shop square station street studio
theatre tower town valley village yard
""")

VERBS = listed("""
bought brought carried checked cleaned closed counted dropped found fixed kept left lent lost made moved opened
packed painted placed repaired returned sold sent showed stored took used washed wrapped
""")

ADJECTIVES = listed("""
big bright broken cheap clean cold dark dry early empty fast full good heavy high large late light long loud low
new old open plain quick quiet round sharp short slow small soft strong tall thin warm wet wide young
""")

JOBS = listed("""
actor baker builder captain carpenter clerk cook dancer doctor driver engineer farmer gardener guard guide judge
lawyer manager mechanic miner nurse painter pilot plumber poet porter sailor singer student tailor teacher
trader waiter writer
""")

TOPICS = listed("""
account address appointment bank bill breakfast call change charge city class clinic concert course customer day
delivery doctor evening exam family friend game heart hospital hour invoice journey lecture loan lunch meal
medicine meeting message minute money month morning night note number order pain patient payment person plan
price problem question record refund repair report request result review salary service speech story summary
team time transfer trip visit week work year
""")

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]

WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]

UNITS = listed("""
kg g mg km m cm litres pieces pages hours minutes days weeks months years times boxes EUR USD CHF GBP
""")

ONSETS = listed("""
b d f g h j k l m n p r s t v w z br dr gr kl st sh tr
""")

NUCLEI = ["a", "e", "i", "o", "u", "a", "e", "i", "o", "u", "ei"]

ACCENTED = "áàâäãåæçéèêëíîïñóòôöõøßšúùûüýžąćčęěğıłńőřśşťůűźż"

CODAS = ["", "", "", "", "l", "m", "n", "r", "s", "t", "x"]
