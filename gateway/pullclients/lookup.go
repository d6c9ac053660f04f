package pullclients

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// privateReads is the ledger as the revealer sees it.
type privateReads interface {
	EvaluateOwn(ctx context.Context, fn string, args ...string) ([]byte, error)
}

var _ privateReads = (*ledger.Client)(nil)

// Lookup reads what our organisation keeps of pulls from its own peer. The
// index holds none of it: what is purged there is gone here.
type Lookup struct{ Ledger privateReads }

// Lookup returns the client of a pull that our organisation recorded. It is
// believed only when it hashes to what stands on the channel.
func (r Lookup) Lookup(ctx context.Context, pulls []readmodel.Pull) ([]provenance.Client, []error) {
	out, errs := make([]provenance.Client, len(pulls)), make([]error, len(pulls))
	type segment struct {
		host provenance.Host
		lane string
		seq  uint64
	}
	type kept struct {
		clients provenance.Clients
		err     error
	}
	known := map[segment]kept{}
	for i, p := range pulls {
		key := segment{p.Host, p.Lane, p.Number}
		k, ok := known[key]
		if !ok {
			k.clients, k.err = r.read(ctx, p)
			known[key] = k
		}
		switch {
		case k.err != nil:
			errs[i] = k.err
		case p.Nth >= len(k.clients.Of) || k.clients.Salt.Blind(p.ID, k.clients.Of[p.Nth]) != p.Blind:
			errs[i] = provenance.Errorf(provenance.Internal, "what is kept of pull %s does not hash to what is on the channel", p.ID)
		default:
			out[i] = k.clients.Of[p.Nth]
		}
	}
	return out, errs
}

func (r Lookup) read(ctx context.Context, p readmodel.Pull) (provenance.Clients, error) {
	answer, err := r.Ledger.EvaluateOwn(ctx, "record:ReadClients", string(p.Host), p.Lane, strconv.FormatUint(p.Number, 10))
	if err != nil {
		return provenance.Clients{}, err
	}
	var kept struct {
		Clients []byte `json:"clients"`
	}
	if err := json.Unmarshal(answer, &kept); err != nil {
		return provenance.Clients{}, provenance.Wrap(provenance.Internal, err, "clients of segment %s/%d", p.Lane, p.Number)
	}
	return provenance.DecodeClients(kept.Clients)
}
