package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"google.golang.org/protobuf/proto"
)

// Result is a committed act.
type Result struct {
	TxID    string
	Block   uint64
	Payload []byte
}

// Endorsed is a signed transaction that can be stored, and sent again after a
// restart, byte for byte.
type Endorsed struct {
	TxID  string
	Bytes []byte
}

// Commit is the fate of a transaction as the organisation's own peer saw it.
type Commit struct {
	Valid bool
	Code  string // Fabric's name of the validation code, "VALID" or why not
	Block uint64
}

// retry bounds the runs of an act that loses a race.
type retry struct {
	attempts  int
	base, max time.Duration
}

// Submit runs an act: endorse, submit, wait for the commit. When another
// transaction changed what it had read (MVCC, phantom), the peers answered from
// different heights, or its endorsements did not satisfy a policy, it is run again
// with jitter, a bounded number of times.
//
// Errors carry the contract's code, or WB_UNAVAILABLE when the network cannot
// serve (the outcome may then be unknown: read before repeating an act),
// WB_CONFLICT when every run lost its race, WB_INTERNAL for the rest.
func (c *Client) Submit(ctx context.Context, fn string, args ...string) (Result, error) {
	return c.SubmitTransient(ctx, nil, fn, args...)
}

// SubmitTransient is Submit with values that reach the endorsing peers and
// never the chain, unless the contract writes them.
func (c *Client) SubmitTransient(ctx context.Context, transient map[string][]byte, fn string, args ...string) (Result, error) {
	return c.submit(ctx, call{fn: fn, args: args, transient: transient})
}

// SubmitPrivate is SubmitTransient endorsed by the peers of this client's own
// organisation and by nobody else: no other peer is sent the transient values.
// It stands only where that satisfies the policies of all that the contract
// writes, as it does for a transaction that writes nothing but private data of
// the organisation's own collection. One that writes nothing at all is not
// sent: its result has no block.
func (c *Client) SubmitPrivate(ctx context.Context, transient map[string][]byte, fn string, args ...string) (Result, error) {
	return c.submit(ctx, call{fn: fn, args: args, transient: transient, orgs: []string{c.config.MSPID}})
}

// SubmitOnce is SubmitTransient without another run: where another transaction came
// first it is WB_CONFLICT at once, for whoever would rather send something else then.
// One that writes nothing is not sent: its result has no block.
func (c *Client) SubmitOnce(ctx context.Context, transient map[string][]byte, fn string, args ...string) (Result, error) {
	result, code, err := c.submitOnce(ctx, call{fn: fn, args: args, transient: transient, unsent: true})
	switch {
	case errors.Is(err, errDisagree):
		return Result{}, provenance.Wrap(provenance.Conflict, err, "%s", fn)
	case err != nil || code == "":
		return result, err
	case guarded(code), conflicting(code):
		return Result{}, provenance.Errorf(provenance.Conflict, "%s: another transaction came first (%s)", fn, code)
	}
	return Result{}, provenance.Errorf(provenance.Internal, "%s: transaction %s is invalid: %s", fn, result.TxID, code)
}

// call is a transaction that is wanted.
type call struct {
	fn        string
	args      []string
	transient map[string][]byte
	orgs      []string // who endorses; none: whom the peer chooses
	unsent    bool     // where it writes nothing
}

func (c *Client) submit(ctx context.Context, t call) (Result, error) {
	fn := t.fn
	delay := c.retry.base
	for attempt := 1; ; attempt++ {
		result, code, err := c.submitOnce(ctx, t)
		switch {
		case attempt < c.retry.attempts && errors.Is(err, errDisagree):
			// Nothing was sent, and those behind catch up.
			code = "endorsements differ"
		case err != nil || code == "":
			return result, err
		case guarded(code) && attempt < c.retry.attempts:
			// Who must endorse was changed by a transaction just before, and the next run asks
			// them; or one of those who did endorse signs what counts for nothing, and the next
			// run may be given others.
		case !conflicting(code):
			return Result{}, provenance.Errorf(provenance.Internal, "%s: transaction %s is invalid: %s", fn, result.TxID, code)
		}
		if attempt >= c.retry.attempts {
			return Result{}, provenance.Errorf(provenance.Conflict, "%s: %d runs lost a race with other transactions (%s); try again", fn, attempt, code)
		}
		// Jitter, or two clients that collided once collide for ever.
		if err := pause(ctx, delay/2+rand.N(delay)); err != nil {
			return Result{}, translate(err, fn)
		}
		delay = min(2*delay, c.retry.max)
	}
}

// submitOnce returns the code of an invalid transaction, "" for a valid one.
func (c *Client) submitOnce(ctx context.Context, t call) (Result, string, error) {
	endorsed, payload, err := c.endorse(ctx, t)
	if err != nil {
		return Result{}, "", err
	}
	if len(t.orgs) > 0 || t.unsent {
		// One that writes nothing is held to the policy of the whole chaincode, which few
		// peers never satisfy; and there is nothing in it to agree on.
		if idle, err := writesNothing(endorsed); err != nil || idle {
			return Result{TxID: endorsed.TxID, Payload: payload}, "", err
		}
	}
	if err := c.SubmitEndorsed(ctx, endorsed); err != nil {
		return Result{}, "", err
	}
	commit, err := c.CommitStatus(ctx, endorsed.TxID)
	if err != nil {
		return Result{}, "", err
	}
	result := Result{TxID: endorsed.TxID, Block: commit.Block, Payload: payload}
	if !commit.Valid {
		return result, commit.Code, nil
	}
	return result, "", nil
}

// Evaluate runs a query on one peer and returns its answer. Nothing is
// recorded and only that peer vouches for the answer: where our own is slow to
// answer or behind, it may be another organisation's. Who relies on the answer
// asks EvaluateOwn.
func (c *Client) Evaluate(ctx context.Context, fn string, args ...string) ([]byte, error) {
	return c.evaluate(ctx, fn, client.WithArguments(args...))
}

// EvaluateOwn is Evaluate on a peer of this client's own organisation and on no
// other: what a person signs, or runs, must not be the word of somebody who may
// lie to it, and the others do not have its private data. It is WB_UNAVAILABLE
// where no peer of the organisation answers.
func (c *Client) EvaluateOwn(ctx context.Context, fn string, args ...string) ([]byte, error) {
	return c.evaluate(ctx, fn, client.WithArguments(args...), client.WithEndorsingOrganizations(c.config.MSPID))
}

func (c *Client) evaluate(ctx context.Context, fn string, options ...client.ProposalOption) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Evaluate)
	defer cancel()
	answer, err := c.as.Load().contract.EvaluateWithContext(ctx, fn, options...)
	return answer, translate(err, fn)
}

// Height returns the number of blocks that the organisation's own peer has.
func (c *Client) Height(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Evaluate)
	defer cancel()
	answer, err := c.as.Load().network.GetContract("qscc").EvaluateWithContext(ctx, "GetChainInfo", client.WithArguments(c.config.Channel))
	if err != nil {
		return 0, translate(err, "height")
	}
	var info common.BlockchainInfo
	if err := proto.Unmarshal(answer, &info); err != nil {
		return 0, provenance.Wrap(provenance.Internal, err, "height")
	}
	return c.config.After.Height + info.GetHeight(), nil
}

// Endorse collects the endorsements of a transaction and signs it, without
// sending it. Store the result before SubmitEndorsed: then its fate can be
// asked whatever happens.
func (c *Client) Endorse(ctx context.Context, fn string, args []string, transient map[string][]byte) (Endorsed, error) {
	endorsed, _, err := c.endorse(ctx, call{fn: fn, args: args, transient: transient})
	return endorsed, err
}

func (c *Client) endorse(ctx context.Context, t call) (Endorsed, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Endorse)
	defer cancel()
	options := []client.ProposalOption{client.WithArguments(t.args...)}
	if len(t.transient) > 0 {
		options = append(options, client.WithTransient(t.transient))
	}
	if len(t.orgs) > 0 {
		options = append(options, client.WithEndorsingOrganizations(t.orgs...))
	}
	as := c.as.Load()
	proposal, err := as.contract.NewProposal(t.fn, options...)
	if err != nil {
		return Endorsed{}, nil, provenance.Wrap(provenance.Internal, err, "%s: propose", t.fn)
	}
	tx, err := proposal.EndorseWithContext(ctx)
	if err != nil {
		if len(t.orgs) == 0 && disagreed(err) {
			err = provenance.Wrap(provenance.Unavailable, fmt.Errorf("%w%s", errDisagree, named(detailsOf(statusOf(err)))), "%s", t.fn)
		}
		return Endorsed{}, nil, translate(err, t.fn)
	}
	signed, err := as.signTransaction(tx)
	if err != nil {
		return Endorsed{}, nil, provenance.Wrap(provenance.Internal, err, "%s: sign", t.fn)
	}
	return Endorsed{TxID: tx.TransactionID(), Bytes: signed}, tx.Result(), nil
}

// signTransaction signs now, so that the stored bytes are the very ones that
// are sent, now and after a restart.
func (s *session) signTransaction(tx *client.Transaction) ([]byte, error) {
	bytes, err := tx.Bytes()
	if err != nil {
		return nil, err
	}
	signature, err := s.sign(tx.Digest())
	if err != nil {
		return nil, err
	}
	signed, err := s.gateway.NewSignedTransaction(bytes, signature)
	if err != nil {
		return nil, err
	}
	return signed.Bytes()
}

// SubmitEndorsed sends the transaction to the orderers. Success means that a
// quorum of them has it, now or from an earlier sending; only CommitStatus says
// whether it stands. After an error the transaction may still commit: ask
// CommitStatus, then send the same bytes again, never others. WB_FORBIDDEN: the
// orderers do not accept its signer, or it was made for another channel, and
// sending it again is of no use.
func (c *Client) SubmitEndorsed(ctx context.Context, e Endorsed) error {
	tx, err := c.as.Load().gateway.NewTransaction(e.Bytes)
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "submit %s: stored transaction", e.TxID)
	}
	if tx.TransactionID() != e.TxID {
		return provenance.Errorf(provenance.Internal, "submit %s: the stored bytes are of transaction %s", e.TxID, tx.TransactionID())
	}
	if foreign, err := c.foreign(e); err != nil || foreign {
		if err == nil {
			err = provenance.Errorf(provenance.Forbidden, "submit %s: it was made for another channel than %s", e.TxID, c.config.Channel)
		}
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Submit)
	defer cancel()
	if _, err := tx.SubmitWithContext(ctx); err != nil && !alreadySent(err) {
		return translate(err, "submit "+e.TxID)
	}
	return nil
}

// CommitStatus waits until the organisation's own peer has committed the
// transaction, at most Config.Commit or until ctx ends; then the error is
// WB_UNAVAILABLE and the transaction is not known there yet.
func (c *Client) CommitStatus(ctx context.Context, txID string) (Commit, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Commit)
	defer cancel()
	as := c.as.Load()
	request, err := proto.Marshal(&gateway.CommitStatusRequest{TransactionId: txID, ChannelId: c.config.Channel, Identity: as.creator})
	if err != nil {
		return Commit{}, provenance.Wrap(provenance.Internal, err, "commit status of %s", txID)
	}
	signature, err := as.sign(digest(request))
	if err != nil {
		return Commit{}, provenance.Wrap(provenance.Internal, err, "commit status of %s: sign", txID)
	}
	bytes, err := proto.Marshal(&gateway.SignedCommitStatusRequest{Request: request, Signature: signature})
	if err != nil {
		return Commit{}, provenance.Wrap(provenance.Internal, err, "commit status of %s", txID)
	}
	for {
		commit, err := as.gateway.NewCommit(bytes)
		if err != nil {
			return Commit{}, provenance.Wrap(provenance.Internal, err, "commit status of %s", txID)
		}
		status, err := commit.StatusWithContext(ctx)
		if err != nil {
			return Commit{}, translate(err, "commit status of "+txID)
		}
		if status.Code == peer.TxValidationCode_DUPLICATE_TXID {
			// The second copy of a resent transaction went by; the ledger itself knows the fate of the first.
			if err := pause(ctx, 50*time.Millisecond); err != nil {
				return Commit{}, translate(err, "commit status of "+txID)
			}
			continue
		}
		return Commit{Valid: status.Successful, Code: status.Code.String(), Block: c.config.After.Height + status.BlockNumber}, nil
	}
}

func digest(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

// serialise writes an identity as transactions carry it.
func serialise(id identity.Identity) ([]byte, error) {
	b, err := proto.Marshal(&msp.SerializedIdentity{Mspid: id.MspID(), IdBytes: id.Credentials()})
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "serialise identity of %s", id.MspID())
	}
	return b, nil
}

// pause waits for d or until ctx ends, and then returns its error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
