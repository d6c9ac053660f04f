package ledger

import (
	"context"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// SubmitWith runs an act once, endorsed by the peers of exactly the named
// organisations (MSP ids), whether that satisfies anything or not, and returns
// what became of it. Submit lets the peer choose endorsers that satisfy every
// policy; this is for finding out that the policies hold when nobody is so kind.
func (c *Client) SubmitWith(ctx context.Context, orgs []string, fn string, args ...string) (Commit, error) {
	as := c.as.Load()
	proposal, err := as.contract.NewProposal(fn, client.WithArguments(args...), client.WithEndorsingOrganizations(orgs...))
	if err != nil {
		return Commit{}, provenance.Wrap(provenance.Internal, err, "%s: propose", fn)
	}
	endorsing, cancel := context.WithTimeout(ctx, c.config.Endorse)
	defer cancel()
	tx, err := proposal.EndorseWithContext(endorsing)
	if err != nil {
		return Commit{}, translate(err, fn)
	}
	signed, err := as.signTransaction(tx)
	if err != nil {
		return Commit{}, provenance.Wrap(provenance.Internal, err, "%s: sign", fn)
	}
	endorsed := Endorsed{TxID: tx.TransactionID(), Bytes: signed}
	if err := c.SubmitEndorsed(ctx, endorsed); err != nil {
		return Commit{}, err
	}
	return c.CommitStatus(ctx, endorsed.TxID)
}
