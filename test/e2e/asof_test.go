package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"github.com/waybill-dev/waybill/chaincode/contract"
	"github.com/waybill-dev/waybill/chaincode/contract/contracttest"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/test/lab"
)

// asOfTriples is how many questions about an image, a stage and a height are asked.
const asOfTriples = 1000

// asOfLaw replays the blocks of a real network into the contract, and compares what it
// answers at random heights with what a running gateway answers as of them.
func asOfLaw(t *testing.T, l *lab.Lab) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	client, err := l.API(ctx, "vendor", "auditor")
	if err != nil {
		t.Error(err)
		return
	}
	status, err := client.GetStatus(ctx)
	if err != nil {
		t.Error(err)
		return
	}
	cc, err := contract.New()
	if err != nil {
		t.Error(err)
		return
	}
	r := &replayed{ledger: contracttest.New(cc), random: rand.New(rand.NewPCG(5, 9)), subjects: map[state.Subject]bool{}}
	height, asked, differ, answers := status.GetHeight(), 0, 0, map[string]int{}
	err = l.Blocks(ctx, "vendor", 0, func(raw *common.Block) (bool, error) {
		n := raw.GetHeader().GetNumber() + 1
		if err := r.apply(raw, l.Clients.Chaincode); err != nil {
			return false, err
		}
		for asked <= asOfTriples*int(n)/int(height) { // what early heights have too little for, later ones make up
			s, ok := r.pick()
			if !ok {
				break
			}
			at := client.AsOf(strconv.FormatUint(n, 10))
			got, err := at.GetVerdict(ctx, fmt.Sprintf("%s/%s@%s", s.Host, s.Repository, s.Digest), s.Stage)
			if err != nil {
				return false, fmt.Errorf("as of %d: %w", n, err)
			}
			want, ok := r.ask(s, got.GetAsOf().AsTime())
			if !ok {
				break // nobody was a member by then
			}
			asked++
			answers[got.GetVerdict()]++
			if was, is := verdictText(want), gatewayText(got); was != is {
				if differ++; differ < 4 {
					t.Errorf("%v as of %d:\n%s\nthe contract answers\n%s", s, n, is, was)
				}
			}
		}
		return n >= height, nil
	})
	t.Logf("%d triples over %d blocks and %d subjects, %d differ: %v", asked, height, len(r.subjects), differ, answers)
	if err != nil || differ > 0 || asked < asOfTriples {
		t.Errorf("%d asked, %d differ: %v", asked, differ, err)
	}
}

// replayed is the contract over a real network's blocks, as far as they were read.
type replayed struct {
	ledger   *contracttest.Ledger
	random   *rand.Rand
	subjects map[state.Subject]bool
	order    []state.Subject
	n        int
}

func (r *replayed) apply(raw *common.Block, chaincode string) error {
	b, err := ledger.Decode(raw, chaincode)
	if err != nil {
		return err
	}
	for _, tx := range b.Txs {
		e := &contracttest.Endorsement{Status: shim.OK, Writes: map[string][]byte{}}
		for _, w := range tx.Writes {
			if e.Writes[w.Key] = w.Value; w.Delete {
				e.Writes[w.Key] = nil
				continue
			}
			entries, err := state.Unpack(state.Entry{Key: w.Key, Value: w.Value})
			if err != nil {
				return err
			}
			for _, one := range entries {
				r.note(one.Key)
			}
		}
		if err := r.ledger.Commit(e, nil); err != nil {
			return err
		}
	}
	return nil
}

// note remembers the images that there are.
func (r *replayed) note(key string) {
	objectType, a, ok := state.SplitKey(key)
	if !ok || objectType != state.TypePlace {
		return
	}
	d, err := state.PlaceDigest(key)
	if err != nil {
		return
	}
	for _, stage := range []string{"staging", "production"} {
		s := state.Subject{Stage: stage, Host: provenance.Host(a[1]), Repository: provenance.Repository(a[2]), Digest: d}
		if !r.subjects[s] {
			r.subjects[s] = true
			r.order = append(r.order, s)
		}
	}
}

func (r *replayed) pick() (state.Subject, bool) {
	if len(r.order) == 0 {
		return state.Subject{}, false
	}
	return r.order[r.random.IntN(len(r.order))], true
}

// ask asks the contract at a time; ok is false where it lets nobody ask.
func (r *replayed) ask(s state.Subject, at time.Time) (v policy.Verdict, ok bool) {
	creator, err := contracttest.Identity("VendorMSP", "auditor", "client")
	if err != nil {
		return v, false
	}
	r.n++
	e := r.ledger.Endorse(contracttest.Proposal{
		Creator: creator, At: at, TxID: fmt.Sprintf("%064x", r.n), Peer: "VendorMSP",
		Args: []string{"verdict:Ask", string(s.Host), string(s.Repository), s.Digest.String(), s.Stage},
	})
	return v, e.OK() && json.Unmarshal(e.Payload, &v) == nil
}

func verdictText(v policy.Verdict) string {
	lines := []string{v.Image, v.Stage, string(v.Verdict), v.EvidenceSet, v.Warning, fmt.Sprint(v.Attempt)}
	if v.Policy != nil {
		lines = append(lines, fmt.Sprintf("policy %s %d %s", v.Policy.Name, v.Policy.Version, v.Policy.Hash))
	}
	for _, r := range v.Reasons {
		lines = append(lines, fmt.Sprintf("%s %s %s %s", r.Rule, r.Outcome, r.Detail, r.Fix))
	}
	for _, c := range v.Children {
		lines = append(lines, fmt.Sprintf("%s %s", c.Digest, c.Verdict))
	}
	return fmt.Sprint(slices.Clip(lines))
}

func gatewayText(v *waybillv1.GetVerdictResponse) string {
	lines := []string{v.GetImage(), v.GetStage(), v.GetVerdict(), v.GetEvidenceSet(), v.GetWarning(), fmt.Sprint(v.GetAttempt())}
	if p := v.GetPolicy(); p != nil {
		lines = append(lines, fmt.Sprintf("policy %s %d %s", p.GetName(), p.GetVersion(), p.GetHash()))
	}
	for _, r := range v.GetReasons() {
		lines = append(lines, fmt.Sprintf("%s %s %s %s", r.GetRule(), r.GetOutcome(), r.GetDetail(), r.GetFix()))
	}
	for _, c := range v.GetChildren() {
		lines = append(lines, fmt.Sprintf("%s %s", c.GetDigest(), c.GetVerdict()))
	}
	return fmt.Sprint(lines)
}
