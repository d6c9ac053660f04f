package model

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
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

// recorded follows a ledger with an index: whatever was committed since the last block is
// the next one, made of what the ledger's keys say now and did not before.
type followed struct {
	x    *index.Index
	seen map[string][]byte
	n    uint64
	hash []byte
}

func (f *followed) block(ctx context.Context, w *world) error {
	var writes []block.Write
	keys := w.ledger.Keys()
	for key, value := range keys {
		if old, had := f.seen[key]; !had || !bytes.Equal(old, value) {
			writes = append(writes, block.Write{Key: key, Value: value})
		}
	}
	for key := range f.seen {
		if _, has := keys[key]; !has {
			writes = append(writes, block.Write{Key: key, Delete: true})
		}
	}
	slices.SortFunc(writes, func(a, b block.Write) int { return bytes.Compare([]byte(a.Key), []byte(b.Key)) })
	b := block.Block{Number: f.n, PreviousHash: f.hash}
	if len(writes) > 0 {
		b.Txs = []block.Tx{{ID: fmt.Sprint("tx", f.n), At: w.now, Creator: policypkg.Person{MSP: vendor, Name: "gateway"}, Writes: writes}}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %x", f.n, f.hash))
	b.Hash = sum[:]
	f.n, f.hash, f.seen = f.n+1, b.Hash, keys
	return f.x.Apply(ctx, b)
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
	triples, differ, verdicts := 0, 0, map[string]int{}
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
	t.Logf("%d triples, %d differ: %v", triples, differ, verdicts)
	if triples < 1000 || len(verdicts) < 4 {
		t.Errorf("%d triples, verdicts %v: this shows little", triples, verdicts)
	}
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
	var answers []then
	for range p.steps {
		if err := p.w.do(p.next()); err != nil {
			t.Fatal(err)
		}
		if err := f.block(t.Context(), p.w); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			answers = append(answers, asked(t, p.w, f.n, random))
		}
	}
	return answers, x
}

func asked(t *testing.T, w *world, height uint64, random *rand.Rand) then {
	t.Helper()
	s := subject{repo: repos()[random.IntN(len(repos()))], image: random.IntN(len(corpus())), stage: []string{"staging", "production"}[random.IntN(2)]}
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
