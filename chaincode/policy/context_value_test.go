package policy

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestValueKeepsItsType(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for _, v := range []any{true, false, int64(0), int64(-9007199254740991), "", "on call"} {
		b, err := json.Marshal(Value{Value: v, At: at})
		if err != nil {
			t.Fatal(err)
		}
		var got Value
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if diff := cmp.Diff(Value{Value: v, At: at}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", b, diff)
		}
	}
	for _, bad := range []string{`{"value":1.5}`, `{"value":1e3}`, `{"value":9223372036854775808}`, `[]`} {
		var got Value
		if err := json.Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("%s was read as %v", bad, got)
		}
	}
}
