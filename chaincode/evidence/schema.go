package evidence

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// Bounds of a schema.
const (
	MaxSchema      = 8 << 10
	maxSchemaDepth = maxFactDepth
	maxEnum        = 64
)

// CheckSchema tells whether schema may be registered for a custom type. It is
// a small part of JSON Schema, each keyword with its usual meaning: type
// (object, array, string, integer, boolean), properties, required,
// additionalProperties (a boolean), enum (texts, integers, booleans), minimum,
// maximum, maxLength (in characters), items, maxItems; title and description
// are for people. Any other keyword is Invalid: a rule nobody enforces is worse
// than none. The outermost type is object.
func CheckSchema(schema json.RawMessage) error {
	m, err := readSchema(schema)
	if err != nil {
		return err
	}
	if str(m, "type") != "object" {
		return invalid("schema: the outermost type is object")
	}
	return checkSchema(m, "schema", maxSchemaDepth)
}

// ValidateSchema tells whether facts are as schema says. The schema is checked
// first; errors name the fact and the keyword.
func ValidateSchema(schema, facts json.RawMessage) error {
	if err := CheckSchema(schema); err != nil {
		return err
	}
	m, err := readSchema(schema)
	if err != nil {
		return err
	}
	v, err := strictjson.Decode(facts, strictjson.Limits{Bytes: MaxFacts})
	if err != nil {
		return wrap(err, "facts")
	}
	return validate(m, v, "facts", maxSchemaDepth)
}

func readSchema(schema json.RawMessage) (map[string]any, error) {
	m, err := strictjson.Object(schema, strictjson.Limits{Bytes: MaxSchema, Depth: 4 * maxSchemaDepth})
	if err != nil {
		return nil, wrap(err, "schema")
	}
	return m, nil
}

func checkSchema(m map[string]any, where string, depth int) error {
	if depth < 0 {
		return invalid("%s: nested deeper than %d", clip(where), maxSchemaDepth)
	}
	kind := str(m, "type")
	switch kind {
	case "object", "array", "string", "integer", "boolean":
	default:
		return invalid("%s.type %q: want object, array, string, integer or boolean", clip(where), clip(kind))
	}
	for _, word := range sortedNames(m) {
		if err := checkKeyword(m, word, kind, where, depth); err != nil {
			return err
		}
	}
	return nil
}

// keywordOf says which type a keyword belongs to.
var keywordOf = map[string]string{ //nolint:gochecknoglobals // a constant table
	"properties": "object", "required": "object", "additionalProperties": "object",
	"items": "array", "maxItems": "array", "maxLength": "string", "minimum": "integer", "maximum": "integer",
}

func checkKeyword(m map[string]any, word, kind, where string, depth int) error {
	if owner := keywordOf[word]; owner != "" && owner != kind {
		return invalid("%s.%s is for type %s", clip(where), word, owner)
	}
	wrong := func(want string) error { return invalid("%s.%s: want %s", clip(where), word, want) }
	switch v := m[word]; word {
	case "type":
	case "title", "description":
		if _, ok := v.(string); !ok {
			return wrong("a text")
		}
	case "properties":
		properties, ok := v.(map[string]any)
		if !ok {
			return wrong("an object of schemas")
		}
		for _, name := range sortedNames(properties) {
			sub, ok := properties[name].(map[string]any)
			if !ok {
				return wrong("an object of schemas")
			}
			if err := checkSchema(sub, where+"."+name, depth-1); err != nil {
				return err
			}
		}
	case "items":
		sub, ok := v.(map[string]any)
		if !ok {
			return wrong("a schema")
		}
		return checkSchema(sub, where+"[]", depth-1)
	case "required":
		names, ok := v.([]any)
		if !ok || len(names) > maxEnum {
			return wrong("a list of at most 64 names")
		}
		for _, name := range names {
			if s, ok := name.(string); !ok || !has(m, "properties", s) {
				return wrong("names that stand in properties")
			}
		}
	case "additionalProperties":
		if _, ok := v.(bool); !ok {
			return wrong("true or false")
		}
	case "enum":
		values, ok := v.([]any)
		if !ok || len(values) == 0 || len(values) > maxEnum {
			return wrong("a list of 1 to 64 values")
		}
		for _, value := range values {
			if !isKind(value, kind) || kind == "object" || kind == "array" {
				return wrong("texts, integers or booleans of the type")
			}
		}
	case "minimum", "maximum":
		if _, ok := v.(int64); !ok {
			return wrong("an integer")
		}
	case "maxLength", "maxItems":
		if n, ok := v.(int64); !ok || n < 0 {
			return wrong("an integer from 0")
		}
	default:
		return invalid("%s: keyword %q is not among those that are enforced", clip(where), clip(word))
	}
	return nil
}

func isKind(v any, kind string) bool {
	ok := false
	switch kind {
	case "object":
		_, ok = v.(map[string]any)
	case "array":
		_, ok = v.([]any)
	case "string":
		_, ok = v.(string)
	case "integer":
		_, ok = v.(int64)
	case "boolean":
		_, ok = v.(bool)
	}
	return ok
}

func validate(schema map[string]any, v any, where string, depth int) error {
	kind := str(schema, "type")
	if depth < 0 || !isKind(v, kind) {
		return invalid("%s: want %s", clip(where), kind)
	}
	if values := list(schema, "enum"); values != nil {
		found := false
		for _, value := range values {
			found = found || value == v // scalars only: CheckSchema saw to it
		}
		if !found {
			return invalid("%s: not among the values of enum", clip(where))
		}
	}
	switch x := v.(type) {
	case int64:
		if least, ok := at(schema, "minimum").(int64); ok && x < least {
			return invalid("%s: %d is below the minimum %d", clip(where), x, least)
		}
		if most, ok := at(schema, "maximum").(int64); ok && x > most {
			return invalid("%s: %d is above the maximum %d", clip(where), x, most)
		}
	case string:
		if most, ok := at(schema, "maxLength").(int64); ok && int64(utf8.RuneCountInString(x)) > most {
			return invalid("%s: longer than maxLength %d", clip(where), most)
		}
	case []any:
		if most, ok := at(schema, "maxItems").(int64); ok && int64(len(x)) > most {
			return invalid("%s: more than maxItems %d", clip(where), most)
		}
		if items := object(schema, "items"); items != nil {
			for _, item := range x {
				if err := validate(items, item, where+"[]", depth-1); err != nil {
					return err
				}
			}
		}
	case map[string]any:
		return validateObject(schema, x, where, depth)
	}
	return nil
}

func validateObject(schema, v map[string]any, where string, depth int) error {
	for _, name := range list(schema, "required") {
		if s, _ := name.(string); !has(v, s) {
			return invalid("%s: %q is required", clip(where), clip(s))
		}
	}
	for _, name := range sortedNames(v) {
		sub := object(schema, "properties", name)
		if sub == nil {
			if at(schema, "additionalProperties") == false {
				return invalid("%s: %q is not among the properties", clip(where), clip(name))
			}
			continue
		}
		if err := validate(sub, v[name], where+"."+name, depth-1); err != nil {
			return err
		}
	}
	return nil
}
