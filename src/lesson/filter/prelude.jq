# Filters that lessons have besides the native ones. They go through the same limits as a lesson's own.
def empty: {}[];
def true: 0 == 0;
def false: 0 != 0;
def null: [][0];
def not: if . then false else true end;
def error(msg): msg | error;
def select(f): if f then . else empty end;
def map(f): [.[] | f];
def range($to): range(0; $to; 1);
def range($from; $to): range($from; $to; 1);
def first: .[0];
def last: .[-1];
def nth($n): .[$n];
def isempty(f): first((f | false), true);
def any(f; test): isempty(f | test or empty) | not;
def all(f; test): isempty(f | test and empty);
def any(test): any(.[]; test);
def all(test): all(.[]; test);
def any: any(.[]; .);
def all: all(.[]; .);
def add(f): reduce f as $x (null; . + $x);
def add: add(.[]);
def values: select(. != null);
def nulls: select(. == null);
def numbers: select(type == "number");
def strings: select(type == "string");
def arrays: select(type == "array");
def objects: select(type == "object");
def abs: if . < 0 then -. else . end;
def keys: keys_unsorted | sort;
def in($object): . as $key | $object | has($key);
def inside($whole): . as $part | $whole | contains($part);
def min_by(f): reduce min_by_or_empty(f) as $x (null; $x);
def max_by(f): reduce max_by_or_empty(f) as $x (null; $x);
def min: min_by(.);
def max: max_by(.);
def unique_by(f): [group_by(f)[] | .[0]];
def unique: unique_by(.);
def split($by): . / $by;
def join($by): [.[] | if . == null then "" else tostring end]
  | .[0] as $first | reduce .[1:][] as $x ($first // ""; . + $by + $x);
def to_entries: [keys_unsorted[] as $key | { $key, value: .[$key] }];
def from_entries: reduce .[] as $x ({}; . + { ($x.key): $x.value });
def with_entries(f): to_entries | map(f) | from_entries;
def transpose: . as $rows | [range([.[] | length] | max // 0) as $i | [$rows[][$i]]];
def nan: 0 / 0;
def infinite: 1 / 0;
def isinfinite: . == infinite or . == -infinite;

# Beyond jq.
def tensor($name): .tensors[$name] | tensor;
def row($i): (.shape[1:] | reduce .[] as $n (1; . * $n)) as $size
  | .data[$i * $size:($i + 1) * $size];
def mean: add / length;
def std: mean as $mean | [.[] | . - $mean | . * .] | mean | sqrt;
def norm: [.[] | . * .] | add | sqrt;
def distance($a; $b): [range($a | length) as $i | $a[$i] - $b[$i]] | norm;
def cosine($a; $b): dot($a; $b) / (($a | norm) * ($b | norm));
def near($a; $b; $eps): ($a - $b | abs) <= $eps;
def step: .steps[-1];
# The share of all attention in the newest step that goes to a text position, or to the first token of a word: the mean
# over the cross-attention layers, each counted once, as on the screen.
def share($at): (if ($at | type) == "number" then $at else position($at) end) as $position
  | [step.tensors | to_entries[] | select(.key | startswith("attention/")) | .value | attention_to($position)]
  | if length == 0 then error("no attention was recorded") else mean end;
