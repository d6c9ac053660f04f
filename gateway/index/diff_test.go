package index

import (
	"strings"
	"testing"
)

func TestDiff(t *testing.T) { onDatabases(t, testDiff) }

func testDiff(t *testing.T, create creator) {
	c := story(t)
	good := applied(t, create, c)
	height, hash, err := good.Head(t.Context())
	if err != nil || height != uint64(len(c.blocks)) || string(hash) != string(hashOf(len(c.blocks)-1)) {
		t.Errorf("head %d %q, %v", height, hash, err)
	}
	for damage, want := range map[string]Difference{
		``: {},
		`DELETE FROM kv WHERE key = (SELECT key FROM kv ORDER BY key DESC LIMIT 1)`: {"kv", -1, 0, "missing is"},
		`INSERT INTO kv VALUES (x'ff', 2, 0, x'01')`:                                {"kv", 1, 0, "too much is"},
		`UPDATE kv SET value = x'00'`:                                               {"kv", 0, 0, "value is empty, and ought to be"},
		`UPDATE records SET actor = 'me' WHERE tag <> ''`:                           {"records", 0, 0, "actor is me, and ought to be ci"},
		`DELETE FROM records WHERE block = 1`:                                       {"records", -3, 0, "row 1 is"},
		`UPDATE chunks SET data = x'00'`:                                            {"chunks", 0, 0, "data is empty, and ought to be"},
		`UPDATE meta SET height = height - 1`:                                       {"meta", 0, 0, "row 1 is"},
		`INSERT INTO txs VALUES (99, 0, 'made up', 0, 'A', 'b', 0)`:                 {"txs", 1, 0, `too much is (99, 0, made up`},
	} {
		bad := applied(t, create, c)
		harm(t, bad, damage)
		got, err := bad.Diff(t.Context(), good)
		if err != nil {
			t.Fatal(err)
		}
		if damage == "" {
			if len(got) != 0 {
				t.Errorf("the same: %+v", got)
			}
			continue
		}
		if len(got) != 1 || got[0].Table != want.Table || got[0].Rows-got[0].Other != want.Rows || !strings.Contains(got[0].First, want.First) {
			t.Errorf("%s: want one difference like %+v, got %+v", damage, want, got)
		}
	}
}
