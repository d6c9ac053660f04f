package model

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/contract/contracttest"
	policypkg "github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// followed is a ledger with an index that follows it: each committed transaction is a block.
type followed struct {
	x    *index.Index
	n    uint64
	hash []byte
	err  error
}

func (f *followed) block(ctx context.Context, w *world, id string, writes []block.Write) {
	slices.SortFunc(writes, func(a, b block.Write) int { return cmp.Compare(a.Key, b.Key) })
	b := block.Block{Number: f.n, PreviousHash: f.hash}
	if len(writes) > 0 {
		b.Txs = []block.Tx{{ID: id, At: w.now, Creator: policypkg.Person{MSP: vendor, Name: "gateway"}, Writes: writes}}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %x", f.n, f.hash))
	b.Hash = sum[:]
	f.n, f.hash = f.n+1, b.Hash
	f.err = errors.Join(f.err, f.x.Apply(ctx, b))
}

// follow begins with the keys that the ledger has, and goes on with what is committed.
func (f *followed) follow(ctx context.Context, w *world) {
	f.block(ctx, w, "", nil)
	var all []block.Write
	for _, key := range w.ledger.Keys("") {
		all = append(all, block.Write{Key: key, Value: w.ledger.Get(key)})
	}
	f.block(ctx, w, "start", all)
	w.ledger.Committed = func(e *contracttest.Endorsement) {
		var writes []block.Write
		for key, value := range e.Writes {
			writes = append(writes, block.Write{Key: key, Value: value, Delete: value == nil})
			var segment state.Segment
			if typeOf(key) == state.TypeSegment && state.Decode(value, &segment) == nil && len(e.Event) > 0 {
				writes = append(writes, block.Write{Key: segment.Journal, Value: e.Event})
			}
		}
		f.block(ctx, w, e.TxID, writes)
	}
}

// then is what the contract answered at a height.
type then struct {
	height uint64
	s      subject
	at     time.Time
	answer []byte
}

// An answer as of a height is what the contract answered when its ledger had that height, for
// random acts of organisations that obey and some that do not.
func TestAsOfIsWhatTheContractAnswered(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 4))
	triples, differ, since, verdicts := 0, 0, 0, map[string]int{}
	for seed := uint64(1); triples < 1200 && seed < 200; seed++ {
		answers, x := lived(t, seed, random)
		for _, one := range answers {
			want := one.answer
			err := x.ViewAt(t.Context(), readmodel.When{Height: one.height}, one.at, func(at readmodel.AsOf, s *index.Snapshot) error {
				v, err := state.Ask(state.WithPolicyCache(s, parsed), ledgerSubject(one.s), one.at)
				if err != nil {
					return err
				}
				got, err := state.Answer(v)
				verdicts[string(v.Verdict)]++
				if !bytes.Equal(now(t, x, one), want) {
					since++
				}
				if triples++; !bytes.Equal(got, want) {
					differ++
					t.Errorf("seed %d, %v as of %d:\n%s\nthe contract answered\n%s", seed, one.s, one.height, got, want)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if differ > 3 {
				t.FailNow()
			}
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d triples, %d differ; %d are answered otherwise by now: %v", triples, differ, since, verdicts)
	if triples < 1000 || since < 100 || len(verdicts) < 4 {
		t.Errorf("%d triples, verdicts %v: this shows little", triples, verdicts)
	}
}

// now is the answer of the index as it stands.
func now(t *testing.T, x *index.Index, one then) (answer []byte) {
	t.Helper()
	err := x.View(t.Context(), func(s *index.Snapshot) error {
		v, err := state.Ask(state.WithPolicyCache(s, parsed), ledgerSubject(one.s), one.at)
		if err != nil {
			return err
		}
		answer, err = state.Answer(v)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func ledgerSubject(s subject) state.Subject {
	return state.Subject{Stage: s.stage, Host: host, Repository: provenance.Repository(s.repo), Digest: corpus()[s.image].digest}
}

// lived runs a sequence of acts, asks the contract on the way, and follows it with an index.
func lived(t *testing.T, seed uint64, random *rand.Rand) ([]then, *index.Index) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "index.db")
	if err := index.Create(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	x, err := index.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPlay(seed, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &followed{x: x}
	f.follow(t.Context(), p.w)
	var answers []then
	for range p.steps {
		if err := p.w.do(p.next()); err != nil {
			t.Fatal(err)
		}
		if f.err != nil {
			t.Fatal(f.err)
		}
		for range 2 {
			answers = append(answers, asked(t, p.w, f.n, random))
		}
	}
	return answers, x
}

func asked(t *testing.T, w *world, height uint64, random *rand.Rand) then {
	t.Helper()
	s := subject{repo: []string{oneRepo, twoRepo}[random.IntN(2)], image: random.IntN(len(corpus())), stage: []string{staging, production}[random.IntN(2)]}
	if len(w.promotions) > 0 && random.IntN(4) > 0 { // mostly one that something is decided about
		var all []subject
		for one := range w.promotions {
			all = append(all, one)
		}
		slices.SortFunc(all, func(a, b subject) int { return bytes.Compare(fmt.Append(nil, a), fmt.Append(nil, b)) })
		s = all[random.IntN(len(all))]
	}
	e := w.ledger.Endorse(contracttest.Proposal{
		Creator: creator(reader), At: w.now, Args: []string{"verdict:Ask", host, s.repo, digest(s.image), s.stage}, TxID: hex.EncodeToString(fmt.Appendf(nil, "%032d", height)), Peer: audit,
	})
	if !e.OK() {
		t.Fatalf("verdict:Ask %v: %s", s, e.Message)
	}
	return then{height, s, w.now, e.Payload}
}
