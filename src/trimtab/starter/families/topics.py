"""Small open questions, each with three true sentences and the words that show an answer is about it."""

from __future__ import annotations

from trimtab.starter.row_parser import parse_blocks

TOPICS = parse_blocks("""
Why do people sleep?
Sleep lets the body recover.
The brain sorts memories at night.
Muscles and nerves rest too.
rest recover body brain memories energy tired night

Why is the sky blue?
Air scatters blue light most.
Sunlight holds every color.
Red light passes through more easily.
light scatters scatter air sunlight color atmosphere

Why do leaves fall?
Trees save water in the cold.
Leaves would freeze in winter.
New ones grow in spring.
trees water winter autumn cold grow spring fall

Why do we brush our teeth?
Brushing removes food and germs.
Clean teeth get fewer holes.
Gums stay healthy as well.
clean food germs plaque decay gums holes healthy bacteria

Why does ice float?
Ice is lighter than water.
Water grows when it freezes.
That makes it less dense.
lighter water dense density freezes less

Why do birds sing?
Birds sing to find a mate.
Songs also mark their place.
Many sing most at dawn.
mate song songs territory attract call dawn communicate

Why do cats purr?
Cats purr when they are content.
Some purr to calm down.
Kittens purr to their mothers.
content happy calm relaxed kittens comfort

Why do we need vitamins?
Vitamins keep the body working.
The body makes only a few.
Fruit and vegetables hold many.
body health healthy food fruit vegetables grow working

Why is exercise good?
Exercise makes the heart strong.
It also lifts the mood.
People who move sleep better.
heart strong mood health healthy muscles fit body

Why do bees visit flowers?
Bees gather nectar for honey.
They carry pollen between plants.
Plants make seeds that way.
nectar honey pollen plants food collect

Why do we have seasons?
The earth is tilted.
Each half leans to the sun in turn.
Summer comes with longer days.
earth tilt tilted sun axis orbit

Why do people read books?
Books tell good stories.
Readers learn about other lives.
A book is good company.
stories learn knowledge enjoy story imagination fun

Why do we recycle paper?
Recycling saves trees.
It needs less water and power.
There is less waste to burn.
trees waste save saves water reuse environment

Why do magnets stick to iron?
Iron turns into a magnet nearby.
Opposite poles pull together.
Wood has no such effect.
iron poles pull attract field magnetic

Why do we yawn?
Yawning may cool the brain.
Tired people yawn more often.
It spreads from person to person.
tired brain cool sleepy air oxygen breath

Why do dogs wag their tails?
Dogs wag to show feelings.
A wide wag means joy.
Puppies learn it early.
feelings happy joy excited show mood friendly

Why is the sea salty?
Rivers carry salt from rocks.
Water leaves as vapor and salt stays.
It took a very long time.
salt rivers rocks minerals vapor water

Why do people keep diaries?
A diary helps one to remember.
Writing calms the mind.
Old pages show how we change.
remember writing thoughts feelings mind memories write

Why do we wear helmets?
Helmets protect the head.
They soften a hard fall.
A good one fits tightly.
protect head safe safety fall injury

Why does bread rise?
Yeast makes gas in the dough.
The gas forms small bubbles.
Heat makes them firm.
yeast gas dough bubbles carbon

Why do we plant trees?
Trees give shade and clean air.
Birds build nests in them.
Roots hold the soil.
shade air oxygen birds soil roots wood

Why do stars twinkle?
Moving air bends their light.
Stars are very far away.
From space they shine steadily.
air light bends far atmosphere moving

Why do people drink tea?
Tea is warm and tastes good.
It keeps many people awake.
Sharing a pot is pleasant.
warm taste tastes awake caffeine relax enjoy

Why do we save money?
Savings help in hard times.
They pay for larger plans.
It calms the mind as well.
savings future hard times plans emergencies need buy
""")
SENTENCES = tuple(sentence for row in TOPICS for sentence in row[1:4])


def topic_words(row: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(row[4].split())
