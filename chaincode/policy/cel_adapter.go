package policy

import (
	"slices"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// celAdapter hands facts to CEL. Maps come in the order of their keys: a loop
// that stops early, or makes a list, must do so alike on every peer. What a
// rule may not see, a float above all, becomes an error, which denies.
type celAdapter struct{}

// NativeToValue implements types.Adapter.
func (a celAdapter) NativeToValue(v any) ref.Val {
	switch v := v.(type) {
	case ref.Val:
		return v
	case string:
		return types.String(v)
	case int64:
		return types.Int(v)
	case bool:
		return types.Bool(v)
	case time.Time:
		return types.Timestamp{Time: v}
	case []string:
		return types.NewStringList(a, v)
	case []any:
		list := make([]ref.Val, len(v))
		for i, e := range v {
			list[i] = a.NativeToValue(e)
		}
		return types.NewRefValList(a, list)
	case map[string]any:
		return sortedMap{types.NewStringInterfaceMap(a, v)}
	case map[string]string:
		return sortedMap{types.NewStringStringMap(a, v)}
	case []ref.Val:
		return types.NewRefValList(a, v)
	}
	return types.NewErr("a value of type %T is none a rule can use", v)
}

// sortedMap is a map whose keys come in order.
type sortedMap struct{ traits.Mapper }

// Iterator implements traits.Iterable.
func (m sortedMap) Iterator() traits.Iterator {
	var keys []string
	for it := m.Mapper.Iterator(); it.HasNext() == types.True; {
		key, _ := it.Next().(types.String)
		keys = append(keys, string(key))
	}
	slices.Sort(keys)
	return &keyIterator{keys: keys}
}

// keyIterator is an iterator over keys; the embedded value is never used but
// makes it the ref.Val that the interface asks for.
type keyIterator struct {
	ref.Val
	keys []string
}

// HasNext implements traits.Iterator.
func (it *keyIterator) HasNext() ref.Val { return types.Bool(len(it.keys) > 0) }

// Next implements traits.Iterator.
func (it *keyIterator) Next() ref.Val {
	key := it.keys[0]
	it.keys = it.keys[1:]
	return types.String(key)
}
