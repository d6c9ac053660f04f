package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/waybill-dev/waybill/network"
	"github.com/waybill-dev/waybill/test/lab"
)

// stillFor is how long an orderer may stand still while the others go on. The
// consensus library of Fabric 3.1 has a deadlock: a view that is stopped while
// it delivers leaves its controller waiting for it for ever, and only a new
// process helps. Whoever runs orderers watches for that, and so do we: else a
// second one that is killed would stop the network, and the strikes after it
// would all be left out.
const stillFor = 15 * time.Second

// standing is the height of an orderer since a moment.
type standing struct {
	height uint64
	since  time.Time
}

// watch lists the nodes that are behind, and starts an orderer again that hangs.
func (b *breaker) watch(ctx context.Context) (behind string, err error) {
	nodes, err := b.lab.Net.Status(ctx)
	if err != nil {
		return "", err
	}
	for _, n := range nodes {
		if n.Kind == network.KindChaincode || n.Height == 0 || n.Height+3 >= top(nodes) {
			delete(b.stands, n.Node)
			continue
		}
		behind += fmt.Sprintf("; %s has %d of %d blocks", n.Node, n.Height, top(nodes))
		s := b.stands[n.Node]
		if _, down := b.down[theNetwork]; down || n.Kind != network.KindOrderer || s.height != n.Height {
			b.stands[n.Node] = standing{n.Height, time.Now()}
			continue
		}
		if time.Since(s.since) < stillFor {
			continue
		}
		delete(b.stands, n.Node)
		b.hung++
		b.say("%s hangs at %d of %d blocks, and is killed and started again", n.Node, n.Height, top(nodes))
		if err := errors.Join(b.lab.Net.Kill(ctx, n.Node, syscall.SIGKILL), b.lab.Net.StartNode(ctx, n.Node)); err != nil {
			return behind, err
		}
	}
	return behind, nil
}

// troubles are the ends of the logs that explain why a run stands still: of
// both gateways, the registry, and the nodes that are not level.
func troubles(ctx context.Context, l *lab.Lab, gateways []string) string {
	var out strings.Builder
	for _, name := range append([]string{theRegistry}, gateways...) {
		if name != theRegistry {
			name = "gateway-" + name
		}
		fmt.Fprintf(&out, "--- %s:\n%s\n", name, l.Log(name))
	}
	nodes, err := l.Net.Status(ctx)
	if err != nil {
		fmt.Fprintf(&out, "--- the network: %v\n", err)
	}
	for _, n := range nodes {
		if n.Health == network.Running && (n.Kind == network.KindChaincode || n.Height >= top(nodes)) {
			continue
		}
		fmt.Fprintf(&out, "--- %s is %s at height %d of %d\n", n.Node, n.Health, n.Height, top(nodes))
		if b, err := os.ReadFile(l.Net.LogPath(n.Node)); err == nil {
			fmt.Fprintf(&out, "%s\n", b[max(0, len(b)-3000):])
		}
	}
	return out.String()
}

func counts(m map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(parts, ", ")
}
