package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// maxDepth bounds how deep a policy document nests.
const maxDepth = 16

// Parse reads a policy from JSON. Whatever a release could not be decided by
// is Invalid, and the error names the rule, the field or the byte: unknown or
// doubled fields, a document that two readers could read differently, an
// expression that does not compile or may cost too much. Size, encoding and
// depth are looked at first, so that a hostile document costs nothing. The
// defaults are filled in: Canonical of the result says everything in force.
func Parse(b []byte) (Policy, error) {
	if len(b) > MaxBytes {
		return Policy{}, provenance.Errorf(provenance.Invalid, "policy of %d bytes: at most %d", len(b), MaxBytes)
	}
	tree, err := strictjson.Decode(b, strictjson.Limits{Bytes: MaxBytes, Depth: maxDepth})
	if err != nil {
		return Policy{}, provenance.Errorf(provenance.Invalid, "policy: %s", messageOf(err))
	}
	if err := checkTree(tree, "", ""); err != nil {
		return Policy{}, provenance.Errorf(provenance.Invalid, "policy: %s", messageOf(err))
	}
	var p Policy
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return Policy{}, provenance.Errorf(provenance.Invalid, "policy: %s", clip(err.Error(), 200))
	}
	p.fillDefaults()
	if err := p.check(); err != nil {
		return Policy{}, err
	}
	canonical := p.Canonical()
	if n := len(canonical); n > MaxBytes {
		return Policy{}, provenance.Errorf(provenance.Invalid, "policy of %d bytes in its canonical form: at most %d", n, MaxBytes)
	}
	p.hash = hashOf(canonical)
	if p.programs = compile(&p); p.programs.err != nil {
		return Policy{}, p.programs.err
	}
	return p, nil
}

func (p *Policy) fillDefaults() {
	for i := range p.Spec.Stages {
		s := &p.Spec.Stages[i]
		if s.Approvals.Exclude == nil {
			s.Approvals.Exclude = []string{ExcludePusher, ExcludeRequester}
		}
		if s.Approvals.Role == "" {
			s.Approvals.Role = defaultRole
		}
		for k := range s.Evidence {
			if s.Evidence[k].Min == 0 {
				s.Evidence[k].Min = 1
			}
		}
	}
}

// checkTree finds what encoding/json would let through: a field in another
// case, which it takes for the field, null, and text that does not look like
// what it says. It reads durations too, to name the field that is wrong.
func checkTree(v any, path, field string) error {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			at := strings.TrimPrefix(path+"."+clip(name, 80), ".")
			if field != "context" && !fields().exact[name] {
				if right, ok := fields().folded[strictjson.Fold(name)]; ok {
					return provenance.Errorf(provenance.Invalid, "%s: want %q", at, right)
				}
				return provenance.Errorf(provenance.Invalid, "%s: unknown field", at)
			}
			if text, ok := v[name].(string); ok && fields().durations[name] && field != "context" {
				if _, err := ParseDuration(text); err != nil {
					return provenance.Errorf(provenance.Invalid, "%s: %s", at, messageOf(err))
				}
			}
			if err := checkTree(v[name], at, name); err != nil {
				return err
			}
		}
	case []any:
		for i, e := range v {
			if err := checkTree(e, fmt.Sprintf("%s[%d]", path, i), ""); err != nil {
				return err
			}
		}
	case string:
		if i := strings.IndexFunc(v, invisible); i >= 0 {
			return provenance.Errorf(provenance.Invalid, "%s: the invisible character U+%04X", path, []rune(v[i:])[0])
		}
	case nil:
		return provenance.Errorf(provenance.Invalid, "%s: null is no value: leave the field out", path)
	case strictjson.Number:
		return provenance.Errorf(provenance.Invalid, "%s: number %s: want an integer", path, clip(string(v), 40))
	}
	return nil
}

// fieldSet is the field names of a policy document.
type fieldSet struct {
	exact, durations map[string]bool
	folded           map[string]string
}

var fields = sync.OnceValue(func() fieldSet { //nolint:gochecknoglobals // a value that never changes
	set := fieldSet{map[string]bool{}, map[string]bool{}, map[string]string{}}
	set.add(reflect.TypeFor[Policy]())
	return set
})

func (s fieldSet) add(t reflect.Type) {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			continue
		}
		s.exact[name], s.folded[strictjson.Fold(name)] = true, name
		if f.Type == reflect.TypeFor[Duration]() {
			s.durations[name] = true
		}
		s.add(f.Type)
	}
}
