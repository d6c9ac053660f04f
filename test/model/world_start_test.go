package model

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"

	"github.com/waybill-dev/waybill/chaincode/contract"
	"github.com/waybill-dev/waybill/chaincode/contract/contracttest"
)

var identities sync.Map

func creator(p person) []byte {
	if b, ok := identities.Load(p); ok {
		return b.([]byte)
	}
	unit := "client"
	if isAdmin(p) {
		unit = "admin"
	}
	b, err := contracttest.Identity(p.org, p.name, unit)
	if err != nil {
		panic(err)
	}
	identities.Store(p, b)
	return b
}

func newLaw() *law {
	return &law{
		members: organisations(), grants: map[person]map[string]grant{}, granted: map[person]map[string]grant{}, taken: map[person]taken{},
		owners: map[string]string{}, changes: map[string]int{}, places: map[place]*pushed{}, tags: map[string]int{}, holds: map[int]map[string]*held{},
		context: map[string][]told{}, saw: map[place]map[string]bool{}, promotions: map[subject]*promotion{}, words: map[wordKey]*word{},
		releases: map[subject]*release{}, currents: map[stageKey]current{}, carriers: map[subject]int{}, gates: map[subject][]string{},
		policies: map[string]*policy{}, gaps: map[uint64]time.Time{},
	}
}

// people are those who hold a role when a sequence begins, by organisation.
func people() map[string]string {
	return map[string]string{
		"manager": "release-manager", "deputy": "release-manager", "reserve": "release-manager", "reserve2": "release-manager", "reserve-gateway": "gateway", "scanner": "scanner", "scanner2": "scanner", "publisher": "publisher", "auditor": "auditor", "gateway": "gateway",
	}
}

// found writes the starting network into the model.
func found(l *law, start int) {
	for _, org := range organisations() {
		for name, role := range people() {
			who := person{org, name}
			l.grants[who] = map[string]grant{role: {by: person{org, "admin"}, at: begin}}
			l.granted[who] = map[string]grant{role: {by: person{org, "admin"}, at: begin}}
		}
	}
	l.owners[""], l.changes["registry"] = vendor, 1
	p := *texts()[start]
	p.version = 1
	l.policies[p.name] = &p
	proposed := proposal{kind: "policy", name: p.name, body: p.text, round: 1, status: "accepted", by: person{audit, "admin"}, ballots: map[string]ballot{}, policy: texts()[start]}
	claim := proposal{kind: "registry", name: " ", body: " " + vendor, round: 1, status: "accepted", by: person{audit, "admin"}, ballots: map[string]ballot{}}
	for _, org := range organisations()[:3] {
		proposed.ballots[org], claim.ballots[org] = ballot{true, person{org, "admin"}, begin}, ballot{true, person{org, "admin"}, begin}
	}
	l.proposals = append(l.proposals, &proposed, &claim)
}

// start is a network that sequences begin with.
type start struct {
	once      sync.Once
	err       error
	chaincode shim.Chaincode
	ledger    *contracttest.Ledger
	now       time.Time
	clock     time.Time
	txs       int
}

var starts [8]start

func starting(n int) (*start, error) {
	s := &starts[n]
	s.once.Do(func() {
		cc, err := contract.New()
		if err != nil {
			s.err = err
			return
		}
		w := &world{ledger: contracttest.New(cc), now: begin}
		do := func(by person, args ...string) {
			if s.err == nil {
				if e := w.endorse(by, begin, nil, args...); !e.OK() {
					s.err = fmt.Errorf("%v %v: %s", by, args, e.Message)
				} else {
					s.err = w.ledger.Commit(e, organisations())
				}
			}
		}
		do(person{vendor, "admin"}, "member:Found", `["VendorMSP","SecurityMSP","PlatformMSP","AuditMSP"]`)
		for _, org := range organisations() {
			do(person{org, "admin"}, "member:Join", org)
			for _, name := range slices.Sorted(maps.Keys(people())) {
				do(person{org, "admin"}, "member:Grant", name, people()[name])
			}
		}
		for _, org := range organisations()[:3] {
			do(person{org, "admin"}, "proposal:Open", "registry", claimBody("", vendor))
			do(person{org, "admin"}, "proposal:Open", "policy", texts()[n].text)
		}
		do(person{vendor, "gateway"}, "clock:Tick")
		s.chaincode, s.ledger, s.now, s.clock, s.txs = cc, w.ledger, begin, begin, w.txs
	})
	return s, s.err
}

func claimBody(namespace, owner string) string {
	return fmt.Sprintf(`{"host":%q,"namespace":%q,"owner":%q,"kind":"distribution"}`, host, namespace, owner)
}
