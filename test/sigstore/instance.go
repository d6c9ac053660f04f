package sigstore

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"
)

// Instance is one Sigstore. Its methods may be called at once; its authorities
// belong to it and are changed by Rotate and End only.
type Instance struct {
	// Name tells it from others: it is in its host names and subjects.
	Name string
	// Now is its clock, which is not ahead of the machine's.
	Now func() time.Time

	mu      sync.Mutex
	cas     []*authority
	ctlogs  []*log
	v1      []*log // Rekor v1 logs, the newest last
	v2      []*log
	stamps  []*authority
	tokens  map[string]Identity
	secret  []byte
	refused map[string]int // answers with this status to the next requests
}

// Life is how long the certificate of a signature is valid, as Fulcio's is.
const Life = 10 * time.Minute

// New makes a Sigstore with one authority of each kind, which are trusted from an
// hour before now.
func New(name string, now func() time.Time) (*Instance, error) {
	s := &Instance{Name: name, Now: now, tokens: map[string]Identity{}, secret: make([]byte, 32)}
	if _, err := rand.Read(s.secret); err != nil {
		return nil, err
	}
	for _, kind := range []Kind{CA, CTLog, RekorV1, RekorV2, TSA} {
		if err := s.add(kind, now().Add(-time.Hour)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Kind is what an authority does.
type Kind string

// The kinds of authority.
const (
	CA      Kind = "ca"
	CTLog   Kind = "ctlog"
	RekorV1 Kind = "rekor-v1"
	RekorV2 Kind = "rekor-v2"
	TSA     Kind = "tsa"
)

// window is for how long an authority is trusted.
type window struct{ From, Until time.Time }

func (s *Instance) add(kind Kind, from time.Time) error {
	switch kind {
	case CA, TSA:
		a, err := newAuthority(s.Name, kind, from)
		if err != nil {
			return err
		}
		if kind == CA {
			s.cas = append(s.cas, a)
		} else {
			s.stamps = append(s.stamps, a)
		}
	case CTLog, RekorV1, RekorV2:
		list := s.logs(kind)
		l, err := newLog(s.Name, kind, len(*list), from)
		if err != nil {
			return err
		}
		*list = append(*list, l)
	}
	return nil
}

func (s *Instance) logs(kind Kind) *[]*log {
	switch kind {
	case CTLog:
		return &s.ctlogs
	case RekorV1:
		return &s.v1
	default:
		return &s.v2
	}
}

// windows returns the windows of every authority of a kind, the newest last.
func (s *Instance) windows(kind Kind) []*window {
	var out []*window
	switch kind {
	case CA, TSA:
		list := s.cas
		if kind == TSA {
			list = s.stamps
		}
		for _, a := range list {
			out = append(out, &a.window)
		}
	case CTLog, RekorV1, RekorV2:
		for _, l := range *s.logs(kind) {
			out = append(out, &l.window)
		}
	}
	return out
}

// Rotate ends the authority of a kind that is in use now and begins with a new one.
func (s *Instance) Rotate(kind Kind) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(kind, s.Now())
	return s.add(kind, s.Now())
}

// End says until when the newest authority of a kind is trusted: before now, when
// what it vouched for since then is no longer to be believed.
func (s *Instance) End(kind Kind, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(kind, until)
}

func (s *Instance) end(kind Kind, until time.Time) {
	w := s.windows(kind)
	w[len(w)-1].Until = until
}

func last[T any](list []T) T { return list[len(list)-1] }

func sum(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}

func hexSum(b []byte) string { return hex.EncodeToString(sum(b)) }
