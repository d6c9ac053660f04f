package model

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	policypkg "github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// planted is a defect that a contract could have: what a transaction is given, reads
// or writes is changed on the way.
type planted struct {
	name string
	// seen is the seed that shows it, as the generator is now: it is tried first.
	seen uint64
	// kept is a case of testdata/found that shows it, tried before any seed.
	kept string
	// args changes what the contract is called with.
	args func(stub shim.ChaincodeStubInterface, args []string) []string
	// put changes what is written, to nothing where it returns nil.
	put func(do, objectType string, value []byte) []byte
	// key changes where it is written to.
	key func(do, objectType, key string) string
	// get changes what is read.
	get       func(do, objectType string, value []byte) []byte
	guardless bool   // keys get no endorsement policy of their own
	unchecked string // keys whose reads are not compared at commit
}

func typeOf(key string) string {
	objectType, _, _ := strings.Cut(strings.Trim(key, "\x00"), "\x00")
	return objectType
}

// defective is the contract with a defect.
type defective struct {
	shim.Chaincode
	*planted
}

// Invoke implements shim.Chaincode.
func (d *defective) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	args := stub.GetStringArgs()
	if d.args != nil {
		args = d.args(stub, slices.Clone(args))
	}
	return d.Chaincode.Invoke(&twisted{stub, d.planted, args})
}

// twisted is a stub with a defect behind it.
type twisted struct {
	shim.ChaincodeStubInterface
	*planted
	given []string
}

func (s *twisted) GetFunctionAndParameters() (string, []string) { return s.given[0], s.given[1:] }
func (s *twisted) GetStringArgs() []string                      { return s.given }

func (s *twisted) GetMultipleStates(keys ...string) ([][]byte, error) {
	values, err := s.ChaincodeStubInterface.GetMultipleStates(keys...)
	if s.get != nil && err == nil {
		for i, k := range keys {
			if values[i] != nil {
				values[i] = s.get(s.given[0], typeOf(k), values[i])
			}
		}
	}
	return values, err
}

func (s *twisted) PutState(key string, value []byte) error {
	if s.put != nil {
		value = s.put(s.given[0], typeOf(key), value)
	}
	if value == nil {
		return nil
	}
	if s.key != nil {
		key = s.key(s.given[0], typeOf(key), key)
	}
	return s.ChaincodeStubInterface.PutState(key, value)
}

func (s *twisted) SetStateValidationParameter(key string, policy []byte) error {
	if s.guardless {
		return nil
	}
	return s.ChaincodeStubInterface.SetStateValidationParameter(key, policy)
}

// altered changes a record as JSON.
func altered[T any](value []byte, change func(*T)) []byte {
	var record T
	if err := state.Decode(value, &record); err != nil {
		panic(err)
	}
	change(&record)
	b, err := state.Encode(record)
	if err != nil {
		panic(err)
	}
	return b
}

// reading reads what a stub shows, as the contract does.
type reading struct{ shim.ChaincodeStubInterface }

// Get implements state.Reader.
func (r reading) Get(keys ...string) ([][]byte, error) { return r.GetMultipleStates(keys...) }

// seenBy is what an approver would have had to see.
func seenBy(stub shim.ChaincodeStubInterface, args []string) (state.Judgement, bool) {
	d, err := provenance.ParseDigest(args[3])
	if err != nil {
		return state.Judgement{}, false
	}
	now, err := stub.GetTxTimestamp()
	if err != nil {
		return state.Judgement{}, false
	}
	s := state.Subject{Host: provenance.Host(args[1]), Repository: provenance.Repository(args[2]), Digest: d, Stage: args[4]}
	j, err := state.Judge(state.WithPolicyCache(state.NewDirectory(reading{stub}), parsed), s, now.AsTime())
	return j, err == nil && j.Policy != nil
}

// replacing replaces an argument of an approval by what the contract would compare it with.
func replacing(n int, right func(state.Judgement) string) func(shim.ChaincodeStubInterface, []string) []string {
	return func(stub shim.ChaincodeStubInterface, args []string) []string {
		if args[0] == "promotion:Approve" {
			if j, ok := seenBy(stub, args); ok {
				args[n] = right(j)
			}
		}
		return args
	}
}

func dropping(do, objectType string) func(string, string, []byte) []byte {
	return func(d, o string, value []byte) []byte {
		if strings.HasPrefix(d, do) && o == objectType {
			return nil
		}
		return value
	}
}

func altering[T any](objectType string, change func(*T)) func(string, string, []byte) []byte {
	return func(_, o string, value []byte) []byte {
		if o != objectType {
			return value
		}
		return altered(value, change)
	}
}

func defects() []planted {
	return []planted{
		{name: "a hold is forgotten once another act is about it", put: dropping("quarantine:Set", "hold")},
		{name: "whoever holds an image lifts it for all", seen: 16, key: func(do, o, key string) string {
			if do == "quarantine:Lift" && o == "hold" {
				for _, org := range organisations() {
					key = strings.Replace(key, org, security, 1)
				}
			}
			return key
		}},
		{name: "an approval without its policy's hash", seen: 13, args: replacing(7, func(j state.Judgement) string { return j.Policy.Hash() })},
		{name: "an approval of whatever evidence there is", seen: 9, args: replacing(8, func(j state.Judgement) string { return policypkg.EvidenceSet(j.Policy, j.Facts) })},
		{name: "an approval of whatever request is open", seen: 18, args: replacing(5, func(j state.Judgement) string { return strconv.Itoa(j.Facts.Attempt) })},
		{name: "a vote for another text", seen: 33, args: func(stub shim.ChaincodeStubInterface, args []string) []string {
			if args[0] == "proposal:Vote" {
				var p state.Proposal
				if found, err := state.Read(reading{stub}, state.ProposalKey(args[1]), &p); err == nil && found {
					args[2] = p.Hash
				}
			}
			return args
		}},
		{name: "who is taken back goes on", get: func(_, o string, value []byte) []byte {
			if o == "taken" {
				return nil
			}
			return value
		}},
		{name: "an image by its digest alone counts as proven", seen: 7, put: altering("place", func(p *state.Place) { p.Proven = true })},
		{name: "a deleted image stays", seen: 24, put: altering("place", func(p *state.Place) { p.Deleted = false })},
		{name: "withdrawn evidence counts", seen: 134, put: dropping("evidence:Withdraw", "evidence")},
		{name: "a withdrawn approval counts", seen: 69, put: altering("approval", func(a *state.Approval) { a.Withdrawn = false })},
		{name: "a rollback renews the grace", kept: "rollback-renews.json", put: altering("released", func(r *state.Release) { r.First = time.Time{} })},
		{name: "a release rests on nobody", seen: 69, put: altering("released", func(r *state.Release) { r.Approvers = nil })},
		{name: "a release of an index is not noted of its images", put: dropping("", "carrier")},
		{name: "the review of a break-glass release is never due", seen: 7, put: altering("released", func(r *state.Release) {
			if r.Debt != nil {
				r.Debt.Due = r.Debt.Due.AddDate(1, 0, 0)
			}
		})},
		{name: "a gate without an endorsement policy", seen: 376, guardless: true},
		{name: "the clock is read and not compared", seen: 169, unchecked: "clock"},
		{name: "approvals are read and not compared", seen: 3289, unchecked: "approval"},
		{name: "holds are read and not compared", seen: 138, unchecked: "hold"},
		{name: "the clock goes with whoever asks", get: func(_, o string, value []byte) []byte {
			if o == "clock" {
				return altered(value, func(c *state.Clock) { c.At = c.At.Add(time.Hour) })
			}
			return value
		}},
		{name: "a revoked waiver counts", seen: 62, put: altering("waivers", func(w *state.Waivers) {
			for i := range w.Waivers {
				w.Waivers[i].Revoked = false
			}
		})},
		{name: "a grant to another organisation's people", key: func(do, o, key string) string {
			if do == "member:Grant" && o == "grant" && strings.Contains(key, "mole") {
				for _, org := range organisations() {
					key = strings.Replace(key, org, security, 1)
				}
			}
			return key
		}},
		{name: "the last speaker's text comes into force", put: func(do, o string, value []byte) []byte {
			if do == "proposal:Open" && o == "policy" {
				return altered(value, func(v *state.PolicyVersion) { v.Text = json.RawMessage(texts()[5].text) })
			}
			return value
		}},
	}
}

// plenty is how many sequences a planted defect may stay unseen.
const plenty = 4000

// TestPlanted: the model sees each of these defects.
func TestPlanted(t *testing.T) {
	for _, d := range defects() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			if d.kept != "" {
				r, err := readRecorded(filepath.Join("testdata", "found", d.kept))
				if err != nil {
					t.Fatal(err)
				}
				if err := replay(r.Start, r.Acts, r.Rogues, r.Seed, &d); err != nil {
					text, _, _ := strings.Cut(err.Error(), "\n")
					t.Logf("seen in %s: %s", d.kept, text)
					return
				}
			}
			for n := range uint64(plenty) {
				seed := n
				if n == 0 {
					seed = d.seen
				}
				f, err := sequence(seed, &d, nil)
				if err != nil {
					t.Fatal(err)
				}
				if f != nil {
					text, _, _ := strings.Cut(f.err.Error(), "\n")
					t.Logf("seen in sequence %d: %s", seed, text)
					return
				}
			}
			t.Errorf("not seen in %d sequences", plenty)
		})
	}
}
