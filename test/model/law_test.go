package model

import (
	"slices"
	"strings"
	"time"
)

const (
	vendor, security, platform, audit = "VendorMSP", "SecurityMSP", "PlatformMSP", "AuditMSP"

	clockGrace   = 2 * time.Minute
	tick         = time.Minute
	promotionEnd = 30 * 24 * time.Hour
	majority     = 3
)

func organisations() []string { return []string{audit, platform, security, vendor} }

type person struct{ org, name string }

func (p person) String() string { return p.name + "@" + p.org }

// MarshalText implements encoding.TextMarshaler.
func (p person) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *person) UnmarshalText(b []byte) error {
	p.name, p.org, _ = strings.Cut(string(b), "@")
	return nil
}

// subject is what a promotion is about. Images are numbers of the corpus.
type subject struct {
	repo  string
	image int
	stage string
}

type place struct {
	repo  string
	image int
}

type outcome string

const (
	satisfied outcome = "satisfied"
	unmet     outcome = "unmet"
	violated  outcome = "violated"
	waived    outcome = "waived"
)

func (o outcome) bad() int {
	switch o {
	case satisfied, waived:
		return 0
	case unmet:
		return 1
	}
	return 2
}

type grant struct {
	by person
	at time.Time
}

type taken struct{ since, at time.Time }

type pushed struct {
	by              string
	at              time.Time
	deleted, proven bool
}

type held struct {
	at, set time.Time // of the last act; when it was set
	lifted  bool
}

type piece struct {
	id        string
	image     int
	by        person
	roles     []string
	at        time.Time // made or recorded, whichever is earlier
	recorded  time.Time
	critical  int
	withdrawn time.Time
	text      string // what makes two submissions the same
}

type waiver struct {
	id          string
	repo, stage string
	rule        string
	image       int // -1: the repository
	reason      string
	by          person
	at, until   time.Time
	revoked     bool
	agreed      map[string]agreement
}

type agreement struct {
	by person
	at time.Time
}

type promotion struct {
	attempt   int
	requester person
	at        time.Time
	status    string // open, released, rejected, withdrawn
	also      []person
}

// asked are those who ask for it, one of an organisation.
func (p *promotion) asked() []person { return append([]person{p.requester}, p.also...) }

func (p *promotion) askedBy(org string) int {
	return slices.IndexFunc(p.asked(), func(who person) bool { return who.org == org })
}

func (p *promotion) open(now time.Time) bool {
	return p != nil && p.status == "open" && now.Before(p.at.Add(promotionEnd))
}

type word struct {
	by       person
	at       time.Time
	reject   bool
	gone     bool // withdrawn
	roles    []string
	robot    bool
	outcomes map[string]outcome
}

type debt struct {
	by       person
	at, due  time.Time
	without  []string
	reviewed *agreement
}

type release struct {
	at       time.Time // of the last act that made it current
	first    time.Time // since when it has been released without a new decision
	rests    []agreement
	debt     *debt
	tick     uint64
	latest   time.Time // when the next tick is due: it is committed by then
	realTime time.Time // when it was committed, by the clock on the wall
	hash     string    // as the ledger gives it to reviewers
}

type wordKey struct {
	subject
	attempt int
	org     string
}

type stageKey struct{ repo, stage string }

type current struct {
	image  int
	pinned bool
}

type told struct {
	at    time.Time
	value bool
}

// law is all that is known, by who said it.
type law struct {
	members []string
	grants  map[person]map[string]grant
	granted map[person]map[string]grant // ever, as it was given last
	taken   map[person]taken
	owners  map[string]string // by namespace, "" is the whole host
	changes map[string]int    // votes that changed the registry ("registry") or a policy (its name)
	places  map[place]*pushed
	tags    map[string]int // by repository and tag; -1: deleted
	holds   map[int]map[string]*held
	pieces  []*piece
	waivers []*waiver
	context map[string][]told // by organisation and name, the newest last
	saw     map[place]map[string]bool

	promotions map[subject]*promotion
	words      map[wordKey]*word
	releases   map[subject]*release
	currents   map[stageKey]current
	carriers   map[subject]int
	gates      map[subject][]string

	policies  map[string]*policy // in force, by name
	proposals []*proposal
	clock     time.Time
	ticks     uint64
	gaps      map[uint64]time.Time
	wall      time.Time // the time there really is, which no transaction knows
}
