"""Word tables of the starter set: one row a line, columns between bars."""

from __future__ import annotations


def parse_rows(table: str) -> tuple[tuple[str, ...], ...]:
    """The rows of a table of several columns."""
    return tuple(tuple(cell.strip() for cell in line.split("|")) for line in table.strip().splitlines())


def parse_blocks(table: str) -> tuple[tuple[str, ...], ...]:
    """The rows of a table with a cell on each line and an empty line after each row."""
    return tuple(tuple(block.splitlines()) for block in table.strip().split("\n\n"))


def split_words(line: str) -> tuple[str, ...]:
    """The words of one line."""
    return tuple(line.split())


def parse_pairs(table: str) -> tuple[tuple[str, str], ...]:
    """The rows of a table written `left: right, left: right`."""
    cells = (cell.split(":") for cell in " ".join(table.split()).split(","))
    return tuple((left.strip(), right.strip()) for left, right in cells)


CAPITALS = parse_pairs("""
France: Paris, Italy: Rome, Spain: Madrid, Germany: Berlin, Japan: Tokyo, Egypt: Cairo, Norway: Oslo, Greece: Athens,
Portugal: Lisbon, Austria: Vienna, Poland: Warsaw, Ireland: Dublin, Hungary: Budapest, Finland: Helsinki, Cuba: Havana,
Sweden: Stockholm, Denmark: Copenhagen, Belgium: Brussels, Canada: Ottawa, Kenya: Nairobi, Peru: Lima, China: Beijing,
Thailand: Bangkok, Turkey: Ankara, Chile: Santiago, Australia: Canberra, Russia: Moscow, Iceland: Reykjavik,
England: London, Vietnam: Hanoi, Nepal: Kathmandu, Ghana: Accra, Croatia: Zagreb, Bulgaria: Sofia, Romania: Bucharest,
Lebanon: Beirut, Uruguay: Montevideo, Jordan: Amman, Colombia: Bogota, Argentina: Buenos Aires
""")
YOUNG_ANIMALS = parse_pairs("""
cat: kitten, dog: puppy, cow: calf, horse: foal, sheep: lamb, goat: kid, pig: piglet, duck: duckling, goose: gosling,
swan: cygnet, bear: cub, deer: fawn, kangaroo: joey, frog: tadpole, hen: chick, owl: owlet, eel: elver, hare: leveret,
butterfly: caterpillar, eagle: eaglet
""")
CATEGORIES = {
    "fruit": split_words("apple pear plum cherry banana mango peach lemon grape melon fig apricot"),
    "tool": split_words("hammer saw drill chisel wrench pliers shovel rake axe screwdriver"),
    "bird": split_words("robin eagle sparrow owl swan parrot crow pigeon stork heron"),
    "fish": split_words("salmon trout cod herring tuna carp pike mackerel sardine perch"),
    "vehicle": split_words("bus train bicycle truck tram ferry scooter van tractor taxi"),
    "instrument": split_words("violin piano flute drum guitar trumpet harp cello clarinet oboe"),
    "color": split_words("red blue green yellow purple orange brown pink gray white"),
    "garment": split_words("shirt coat scarf sock hat skirt glove sweater jacket belt"),
    "vegetable": split_words("carrot onion potato cabbage spinach leek celery turnip radish pea"),
    "mammal": split_words("dog cat horse cow lion wolf bear rabbit sheep goat"),
}
OPPOSITES = parse_pairs("""
hot: cold, big: small, fast: slow, high: low, early: late, open: closed, full: empty, happy: sad, light: dark,
young: old, rich: poor, hard: soft, loud: quiet, clean: dirty, wet: dry, near: far, strong: weak, thick: thin,
sweet: sour, left: right, up: down, always: never, push: pull, buy: sell, win: lose, love: hate, day: night,
wide: narrow, long: short, heavy: light
""")
TRANSLATIONS = parse_rows("""
water | agua | eau | Wasser
bread | pan | pain | Brot
house | casa | maison | Haus
dog | perro | chien | Hund
cat | gato | chat | Katze
book | libro | livre | Buch
milk | leche | lait | Milch
sun | sol | soleil | Sonne
moon | luna | lune | Mond
red | rojo | rouge | rot
green | verde | vert | grün
friend | amigo | ami | Freund
night | noche | nuit | Nacht
day | día | jour | Tag
fish | pez | poisson | Fisch
school | escuela | école | Schule
tree | árbol | arbre | Baum
hand | mano | main | Hand
table | mesa | table | Tisch
bird | pájaro | oiseau | Vogel
window | ventana | fenêtre | Fenster
apple | manzana | pomme | Apfel
horse | caballo | cheval | Pferd
flower | flor | fleur | Blume
street | calle | rue | Straße
summer | verano | été | Sommer
winter | invierno | hiver | Winter
yes | sí | oui | ja
no | no | non | nein
thank you | gracias | merci | danke
""")
RHYMES = tuple(
    tuple(line.split())
    for line in """
cat hat bat mat rat sat flat that
light night right sight bright kite might white
day way play say stay gray may pay
tree free see bee three sea key tea
car star far bar jar tar
ring sing king thing bring spring wing string
ball tall fall wall call small hall
cake lake make take snake bake break
moon soon spoon noon tune dune
house mouse
cold gold old told hold bold fold
rain train plain brain chain pain lane
book look cook took hook
boat coat goat note float
dog fog log frog jog
sun fun run one won done bun
bed red head said bread led
sky fly high my try why dry eye
ground sound round found pound
bell well tell shell smell fell
fish dish wish
land hand sand band stand
""".strip().splitlines()
)
NAMES = split_words(
    "Anna Ben Clara David Emma Felix Grace Henry Ivy Jack Laura Martin Nora Oscar Paula Rosa Simon Tom Vera"
)
CITIES = split_words("Oslo Leeds Boston Lyon Turin Denver Porto Ghent Malaga Bristol Kyoto Graz Austin Nantes Perth")
DAYS = split_words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = split_words("January February March April May June July August September October November December")
OBJECTS = split_words("bicycle lamp kettle camera carpet guitar jacket table clock mirror blanket suitcase")
MISSPELLED = parse_pairs("""
recieve: receive, tommorow: tomorrow, freind: friend, becuase: because, beleive: believe, goverment: government,
seperate: separate, definately: definitely, occured: occurred, untill: until, wierd: weird, neccessary: necessary,
adress: address, begining: beginning, calender: calendar, enviroment: environment, familliar: familiar,
foriegn: foreign, gaurd: guard, happend: happened, knowlege: knowledge, libary: library, marrige: marriage,
noticable: noticeable, peice: piece, posession: possession, prefered: preferred, realy: really, rember: remember,
suprise: surprise, truely: truly, writting: writing, acheive: achieve, buisness: business, collegue: colleague,
""".rstrip().rstrip(","))  # fmt: skip
PLURALS = parse_pairs("""
child: children, mouse: mice, foot: feet, tooth: teeth, goose: geese, man: men, woman: women, knife: knives,
leaf: leaves, wolf: wolves, box: boxes, city: cities, baby: babies, potato: potatoes, bus: buses, shelf: shelves,
person: people, lady: ladies, watch: watches, brush: brushes
""")
PAST_TENSES = parse_pairs("""
go: went, eat: ate, see: saw, run: ran, take: took, give: gave, write: wrote, sing: sang, swim: swam, buy: bought,
think: thought, bring: brought, catch: caught, teach: taught, know: knew, fly: flew, drive: drove, speak: spoke,
break: broke, sleep: slept
""")
