package proof

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
)

// fixture is a file of a real network (TestProofs in test/e2e made it).
func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "network", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fixtureOptions are the pin of the real network and its configuration.
func fixtureOptions(t testing.TB) Options {
	t.Helper()
	pin, err := ParseHash(strings.TrimSpace(string(fixture(t, "genesis"))))
	if err != nil {
		t.Fatal(err)
	}
	return Options{Genesis: pin, Config: fixture(t, "config.json")}
}

func TestFilesOfARealNetwork(t *testing.T) {
	for name, want := range map[string]int{
		"receipt": 0, "receipt-held": 13, "receipt-pending": 12, "receipt-unknown": 10,
		"transaction-push": 0, "transaction-approval": 0, "transaction-hold": 0, "config": 0,
	} {
		r := Verify(fixture(t, name+".json"), fixtureOptions(t))
		if r.Result != Valid || r.Exit() != want || len(r.Proven) == 0 || len(r.NotProven) == 0 {
			t.Errorf("%s: exit %d, want %d\n%s", name, r.Exit(), want, r.JSON())
		}
	}
}

func TestFilesOfANetworkInMemory(t *testing.T) {
	n := testNetwork(t)
	n.block(blockOptions{}, n.envelope([]byte("nothing that can be read")))
	for name, f := range map[string]func() File{
		"receipt":     func() File { return n.receipt(n.question()) },
		"transaction": func() File { return n.transaction(n.act(), 0, nil) },
	} {
		for _, when := range []string{"under the first configuration", "under the second"} {
			if r := n.verify(f()); r.Result != Valid || r.Exit() != 0 {
				t.Errorf("%s %s: %s", name, when, r.JSON())
			}
			n.configure(blockOptions{}, nil)
			n.block(blockOptions{}, n.envelope([]byte("nothing that can be read")))
		}
	}
	n.configure(blockOptions{}, func(c *common.Config) { delete(c.GetChannelGroup().GetValues(), "Capabilities") })
	if r := n.verify(n.receipt(n.question())); r.Result != Valid { // the floor is a configuration block itself
		t.Errorf("%s", r.JSON())
	}
}
