package hosts_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/test/hosts"
)

// What `make soak-hosts` has more of.
var (
	long   = flag.Bool("hosts.long", false, "cut every host off in turn, each for a minute, and measure what delay costs")
	pushes = flag.Int("hosts.pushes", 30_000, "of a long walk: how many pushes a measurement takes, and three times as many pulls")
	walks  = flag.String("hosts.walks", "", "those of the walks that are made (job,delay,members,upgrade,renewals,cut); none: all")
)

// TestConsortium walks README's road for organisations on hosts of their own, and then what becomes of their
// channel: the main job, hosts that are cut off, a fifth organisation that comes and a founder that goes, certificates that
// are renewed.
func TestConsortium(t *testing.T) {
	bed := hosts.New(t, names()...)
	c := found(t, bed, names()[:4]...)
	owner, audit := c.members[0], c.members[3]
	if err := c.connect(owner); err != nil {
		t.Fatalf("%v\n%s", err, c.logs(owner))
	}
	for _, walk := range []struct {
		name string
		only bool // in a long walk
		do   func()
	}{
		{"job", false, func() {
			if err := c.rules("team", fmt.Sprintf(productionPolicy, owner.registry())); err != nil {
				t.Fatal(err)
			}
			if err := c.job("1.0"); err != nil {
				t.Fatal(err)
			}
		}},
		{"delay", true, func() { delays(c, owner, *pushes, 3**pushes, 60) }},
		{"members", false, func() { comesAndGoes(c, owner, audit, "newcomer", 200, 10*time.Second) }},
		{"upgrade", false, func() { upgrade(c, owner, 200, 10*time.Second) }},
		{"renewals", true, func() { renewals(c, owner, 200, 10*time.Second) }},
		// The last: connections and leaders take a while to be what they were.
		{"cut", false, func() {
			groups, cut := [][]*member{c.members[:2]}, 10*time.Second
			if *long {
				groups, cut = nil, time.Minute
				for _, m := range c.members {
					groups = append(groups, []*member{m})
				}
				groups = append(groups, c.members[:2])
			}
			partitions(c, owner, groups, cut, time.Minute, 200)
		}},
	} {
		if (*walks == "" && (*long || !walk.only)) || strings.Contains(","+*walks+",", ","+walk.name+",") {
			walk.do()
		}
	}
	nothingForeign(c)
}
