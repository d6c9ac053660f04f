package evidence

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// Bounds inside facts, below MaxFacts.
const (
	maxListed    = 200 // findings and packages
	maxLicences  = 100
	maxParameter = 32
	maxText      = 256 // bytes of one text taken from a document
	maxFactDepth = 8
)

func sortedNames(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// encodeFacts returns the one encoding of facts: sorted names, no spaces, no
// floats, at most MaxFacts. A list that was cut is the caller's business (fit).
func encodeFacts(facts map[string]any) (json.RawMessage, error) {
	if leastSize(facts, MaxFacts) > MaxFacts {
		return nil, invalid("facts of more than %d bytes: at most %d", MaxFacts, MaxFacts) // before megabytes are sorted and encoded
	}
	if err := checkFact(facts, "facts", maxFactDepth); err != nil {
		return nil, err
	}
	b, err := marshal(facts)
	if err != nil {
		return nil, err
	}
	if len(b) > MaxFacts {
		return nil, invalid("facts of %d bytes: at most %d", len(b), MaxFacts)
	}
	// Who judges reads them strictly: facts that cannot be read would stop every verdict.
	if err := strictjson.Check(b, strictjson.Limits{Bytes: MaxFacts}); err != nil {
		return nil, wrap(err, "facts")
	}
	return b, nil
}

// leastSize is how many bytes a value takes at least, encoded; beyond most it counts no
// further, and is only known to be more.
func leastSize(v any, most int) int {
	size := 1
	switch x := v.(type) {
	case string:
		size = len(x) + len(`""`)
	case []any:
		for _, item := range x {
			if size += 1 + leastSize(item, most-size); size > most {
				return size
			}
		}
	case map[string]any:
		for name, item := range x {
			if size += len(name) + len(`"":,`) + leastSize(item, most-size); size > most {
				return size
			}
		}
	}
	return size
}

func marshal(v any) (json.RawMessage, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil { // sorts names
		return nil, invalid("facts: %v", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// checkFact lets only integers, texts, booleans, lists and objects through.
func checkFact(v any, where string, depth int) error {
	if depth < 0 {
		return invalid("%s: nested deeper than %d", clip(where), maxFactDepth)
	}
	switch x := v.(type) {
	case int64, string, bool:
		return nil
	case []any:
		for _, item := range x {
			if err := checkFact(item, where+"[]", depth-1); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		for _, name := range sortedNames(x) {
			if err := checkFact(x[name], where+"."+name, depth-1); err != nil {
				return err
			}
		}
		return nil
	case strictjson.Number:
		return invalid("%s: %s has a fraction or an exponent, or is beyond 2^53-1: facts hold integers", clip(where), string(x))
	case nil:
		return invalid("%s: null is no fact", clip(where))
	}
	return invalid("%s: %T is no fact", clip(where), v)
}

// truncate shortens the lists of the given names, longest encoding first to go,
// until the facts are within MaxFacts, and says so in "truncated".
func truncate(facts map[string]any, names ...string) (map[string]any, error) {
	for {
		b, err := marshal(facts)
		if err != nil {
			return nil, err
		}
		if len(b) <= MaxFacts {
			return facts, nil
		}
		longest, size := "", 0
		for _, name := range names {
			part, err := marshal(facts[name])
			if err != nil {
				return nil, err
			}
			if l, _ := facts[name].([]any); len(l) > 0 && len(part) > size {
				longest, size = name, len(part)
			}
		}
		if longest == "" {
			return nil, invalid("facts of %d bytes: at most %d", len(b), MaxFacts)
		}
		l := facts[longest].([]any)
		facts[longest] = l[:len(l)*3/4]
		facts["truncated"] = true
	}
}

// text bounds a text taken from a document: longer ones are cut, and what is
// invisible in it is left out.
func text(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// distinct returns the sorted different texts, at most most of them, and
// whether there were more. A text that had to be cut is left out of the list
// and counts as more: half a package name is no package.
func distinct(texts []string, most int) (kept []any, more bool) {
	kept = []any{}
	for _, s := range slices.Compact(slices.Sorted(slices.Values(texts))) {
		if len(kept) == most || text(s) != s {
			more = true
			continue
		}
		kept = append(kept, s)
	}
	return kept, more
}
