package evidence

import (
	"encoding/json"

	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// customFacts are the facts of a document of a custom type.
func (r Request) customFacts(typ string, document map[string]any) (json.RawMessage, error) {
	if r.Schema == nil {
		return encodeFacts(document)
	}
	schema, err := r.Schema(typ)
	if err != nil {
		return nil, err
	}
	if err := CheckSchema(schema); err != nil {
		return nil, err
	}
	m, err := readSchema(schema)
	if err != nil {
		return nil, err
	}
	facts, _ := namedBy(m, document).(map[string]any)
	return encodeFacts(facts)
}

// NoFacts is a Request.Schema for who only asks who signed: it names nothing.
func NoFacts(string) (json.RawMessage, error) {
	return json.RawMessage(`{"type":"object","properties":{}}`), nil
}

// namedBy returns what a checked schema names of a value: of an object the properties,
// of a list what it names of each item. Where it names none of them it means all.
// A null is as good as nothing.
func namedBy(schema map[string]any, v any) any {
	switch x := v.(type) {
	case map[string]any:
		properties := object(schema, "properties")
		if properties == nil {
			return x
		}
		kept := map[string]any{}
		for _, name := range sortedNames(properties) {
			if value := x[name]; value != nil {
				sub, _ := properties[name].(map[string]any)
				kept[name] = namedBy(sub, value)
			}
		}
		return kept
	case []any:
		items := object(schema, "items")
		if items == nil {
			return x
		}
		kept := []any{}
		for _, item := range x {
			if item != nil {
				kept = append(kept, namedBy(items, item))
			}
		}
		return kept
	}
	return v
}

// factsOnly leaves out of a document what can be no fact: fractions and nulls. What
// its schema asks for and is not there any more is missed when it is submitted.
func factsOnly(document map[string]any) map[string]any {
	kept := map[string]any{}
	for _, name := range sortedNames(document) {
		if value := factOnly(document[name]); value != nil {
			kept[name] = value
		}
	}
	return kept
}

func factOnly(v any) any {
	switch x := v.(type) {
	case map[string]any:
		return factsOnly(x)
	case []any:
		kept := []any{}
		for _, item := range x {
			if item = factOnly(item); item != nil {
				kept = append(kept, item)
			}
		}
		return kept
	case strictjson.Number:
		return nil
	}
	return v
}
