package policy

import (
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// maxFactsDepth bounds how deep facts nest, maxFactsBytes their JSON.
const (
	maxFactsDepth = 8
	maxFactsBytes = 1 << 20
)

// DecodeFacts reads an evidence's facts from JSON as Facts and CEL want them:
// int64, string, bool, []any and map[string]any, an object at the top. Anything
// that two peers could read differently is Invalid: a fraction or an exponent,
// an integer beyond 2^53, null, a member twice, text that is not UTF-8, data
// after the document, and nesting deeper than 8.
func DecodeFacts(b []byte) (map[string]any, error) {
	facts, err := strictjson.Object(b, strictjson.Limits{Bytes: maxFactsBytes, Depth: maxFactsDepth})
	if err != nil {
		return nil, provenance.Errorf(provenance.Invalid, "facts: %s", messageOf(err))
	}
	if err := checkFact(facts, "facts"); err != nil {
		return nil, err
	}
	return facts, nil
}

func checkFact(v any, path string) error {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range sortedKeys(v) {
			if err := checkFact(v[name], path+"."+clip(name, 80)); err != nil {
				return err
			}
		}
	case []any:
		for _, e := range v {
			if err := checkFact(e, path+"[]"); err != nil {
				return err
			}
		}
	case nil:
		return provenance.Errorf(provenance.Invalid, "%s: null is no value: leave it out", path)
	case strictjson.Number:
		return provenance.Errorf(provenance.Invalid, "%s: number %s: want an integer", path, clip(string(v), 40))
	}
	return nil
}
