package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"
)

// theNetwork is a scope: never is more than one organisation of it broken at a
// time, which is what four orderers and a majority of four peers bear. The
// registry and each gateway are scopes of their own.
const (
	theNetwork  = "network"
	theRegistry = "registry"
)

// quiet is how long the network is left alone between two of its strikes: an
// orderer that was away needs some seconds to catch up.
const quiet = 4 * time.Second

// strike is something to be broken.
type strike struct {
	at    time.Duration // since the beginning
	out   time.Duration // for how long
	scope string
	what  string         // how it is counted: "kill peer"
	org   string         // "" for the registry
	nodes []string       // of the network
	sig   syscall.Signal // SIGINT: it may end in order
}

func (s strike) String() string {
	name := s.what
	if s.org != "" {
		name += " of " + s.org
	}
	return fmt.Sprintf("%s at %s for %s", name, s.at.Round(100*time.Millisecond), s.out.Round(100*time.Millisecond))
}

// kills tells whether a process of this kind is ended with SIGKILL.
func (s strike) kills(kind string) bool {
	ends := func(node string) bool { return strings.HasSuffix(node, "-"+kind) }
	return s.sig == syscall.SIGKILL && (strings.HasPrefix(s.scope, kind) || slices.ContainsFunc(s.nodes, ends))
}

// schedule draws what is broken, when and for how long: the same for the same
// arguments. gateways are the organisations that run one, the busiest first.
func schedule(seed uint64, length time.Duration, orgs, gateways []string) []strike {
	rng := rand.New(rand.NewPCG(seed, 2))
	busy := map[string]time.Duration{} // until when a scope is not to be struck
	scopes := slices.Concat(slices.Repeat([]string{theNetwork}, 8), []string{theRegistry},
		slices.Repeat([]string{"gateway " + gateways[0]}, 2))
	for _, org := range gateways[1:] {
		scopes = append(scopes, "gateway "+org)
	}
	var out []strike
	var deck []int // what happens to the network: every card comes before one comes again
	for at := time.Second; at < length; at += 1500*time.Millisecond + between(rng, 3*time.Second) {
		s := strike{at: at, out: 300*time.Millisecond + between(rng, 5500*time.Millisecond), scope: scopes[rng.IntN(len(scopes))]}
		if at < busy[s.scope] {
			continue
		}
		if len(deck) == 0 {
			deck = rng.Perm(cards)
		}
		if s.choose(rng, orgs, deck[0]); s.scope == theNetwork {
			deck = deck[1:]
		}
		busy[s.scope] = at + s.out
		if s.scope == theNetwork {
			busy[s.scope] += quiet
		}
		out = append(out, s)
	}
	return out
}

// choose fills in what the scope leaves open.
func (s *strike) choose(rng *rand.Rand, orgs []string, card int) {
	switch s.scope {
	case theNetwork:
		s.org = orgs[rng.IntN(len(orgs))]
		s.ofNetwork(card)
	case theRegistry:
		s.what, s.sig = "kill registry", syscall.SIGKILL
	default:
		s.org = strings.TrimPrefix(s.scope, "gateway ")
		s.what, s.sig = "kill gateway", syscall.SIGKILL
		if rng.IntN(5) == 0 {
			s.what, s.sig = "restart gateway", syscall.SIGINT
		}
	}
}

// cards is how many there are.
const cards = 10

func (s *strike) ofNetwork(card int) {
	chaincode, peer, orderer := s.org+"-chaincode", s.org+"-peer", s.org+"-orderer"
	s.sig = syscall.SIGKILL
	switch card {
	case 0, 1:
		s.what, s.nodes = "kill chaincode", []string{chaincode}
	case 2, 3, 4:
		s.what, s.nodes = "kill peer", []string{peer}
	case 5, 6:
		s.what, s.nodes = "kill orderer", []string{orderer}
	case 7:
		s.what, s.nodes, s.sig = "freeze peer", []string{peer}, syscall.SIGSTOP
	case 8:
		s.what, s.nodes, s.sig = "freeze orderer", []string{orderer}, syscall.SIGSTOP
	default:
		s.what, s.nodes = "kill organisation", []string{orderer, peer, chaincode}
	}
}

func between(rng *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(most)))
}

// listed is a schedule to be read.
func listed(plan []strike) string {
	var b strings.Builder
	for _, s := range plan {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

// summary counts strikes by what they are.
func summary(done []strike) string {
	count := map[string]int{}
	for _, s := range done {
		count[s.what]++
	}
	return fmt.Sprintf("%d strikes: %s", len(done), counts(count))
}
