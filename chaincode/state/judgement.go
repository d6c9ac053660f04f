package state

import (
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Reader reads committed state. The contract adapts the peer's stub to it, the
// gateway its index; tests use a map.
type Reader interface {
	// Get returns the values of keys in order, nil for a key that is absent.
	Get(keys ...string) ([][]byte, error)
}

// Scanner also lists keys by prefix, in key order. A transaction that writes
// never scans: a scan is open-ended, and is re-run at commit.
type Scanner interface {
	Reader
	// Scan returns at most limit entries whose key has the prefix Key(objectType, attributes...).
	Scan(limit int, objectType string, attributes ...string) ([]Entry, error)
}

// Read decodes the record under key into record; found is false when absent.
func Read(r Reader, key string, record any) (found bool, err error) {
	values, err := r.Get(key)
	if err != nil || values[0] == nil {
		return false, err
	}
	return true, Decode(values[0], record)
}

// LoadMembers returns the list of members.
func LoadMembers(r Reader) (Members, error) {
	var m Members
	_, err := Read(r, MembersKey(), &m)
	return m, err
}

// readAll decodes the records under keys in one round trip; an absent one is nil.
func readAll[T any](r Reader, keys []string) ([]*T, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	values, err := r.Get(keys...)
	if err != nil {
		return nil, err
	}
	records := make([]*T, len(keys))
	for i, b := range values {
		if b == nil {
			continue
		}
		records[i] = new(T)
		if err := Decode(b, records[i]); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// policyParser is a Reader that keeps policies parsed: compiling the expressions of
// one costs far more than judging by it.
type policyParser interface {
	ParsePolicy(text []byte) (*policy.Policy, error)
}

// WithPolicyCache returns r with the policies that are read through it kept in c.
func WithPolicyCache(r Reader, c *policy.Cache) Reader { return cachingReader{r, c} }

type cachingReader struct {
	Reader
	cache *policy.Cache
}

// ParsePolicy implements policyParser.
func (k cachingReader) ParsePolicy(text []byte) (*policy.Policy, error) { return k.cache.Parse(text) }

// LoadPolicy returns the active policy for a repository, or nil.
func LoadPolicy(r Reader, host provenance.Host, repo provenance.Repository) (*policy.Policy, int, error) {
	var c Catalogue
	if _, err := Read(r, PoliciesKey(), &c); err != nil {
		return nil, 0, err
	}
	patterns := make([][]string, len(c.Policies))
	for i, e := range c.Policies {
		patterns[i] = e.Match
	}
	i := policy.Select(patterns, host, repo)
	if i < 0 {
		return nil, 0, nil
	}
	var v PolicyVersion
	found, err := Read(r, PolicyKey(c.Policies[i].Name, c.Policies[i].Version), &v)
	if err != nil || !found {
		return nil, 0, provenance.Wrap(provenance.Internal, err, "policy %s version %d is in the catalogue but not on the ledger", c.Policies[i].Name, c.Policies[i].Version)
	}
	if keeper, ok := r.(policyParser); ok {
		p, err := keeper.ParsePolicy(v.Text)
		return p, v.Version, err
	}
	p, err := policy.Parse(v.Text)
	if err != nil {
		return nil, 0, err
	}
	return &p, v.Version, nil
}

// Judgement is one answer about one subject at one moment, and everything it
// was made from.
type Judgement struct {
	Policy    *policy.Policy // nil when none matches the repository
	Version   int
	Facts     policy.Facts
	Promotion Promotion // zero when there is none
	Verdict   policy.Verdict
}

// Judge answers "may this image run in this stage?" from r, at now. It is what
// the contract decides by and what a gateway answers.
func Judge(r Reader, s Subject, now time.Time) (Judgement, error) {
	p, version, err := LoadPolicy(r, s.Host, s.Repository)
	if err != nil {
		return Judgement{}, err
	}
	return JudgeBy(r, s, p, version, now)
}

// JudgeBy is Judge by a policy that the caller read or proposes, nil for none.
func JudgeBy(r Reader, s Subject, p *policy.Policy, version int, now time.Time) (Judgement, error) {
	j := Judgement{Policy: p, Version: version}
	l := loader{r: r, s: s, p: p, now: now}
	var err error
	if err = l.load(); err != nil {
		return j, err
	}
	j.Facts, j.Promotion = l.f, l.open
	j.Again(now)
	// Since when a rule fails is asked only where one does.
	if j.Facts.Released && (j.Verdict.Verdict == policy.Denied || j.Verdict.Warning != "") {
		past, err := l.past()
		if err != nil {
			return j, err
		}
		if len(past) > 0 {
			j.Facts.Evidence = append(j.Facts.Evidence, past...)
			j.Again(now)
		}
	}
	return j, nil
}

// Again judges once more, after the facts were changed in memory: a transaction
// never reads its own writes.
func (j *Judgement) Again(now time.Time) policy.Verdict {
	j.Verdict = policy.Evaluate(j.Policy, j.Version, j.Facts, now)
	return j.Verdict
}

// Ask is the verdict of Judge and, of an index, the verdicts on all it lists.
func Ask(r Reader, s Subject, now time.Time) (policy.Verdict, error) {
	j, err := Judge(r, s, now)
	if err != nil {
		return policy.Verdict{}, err
	}
	return j.verdictWithChildren(r, s, now)
}

// AskBy is Ask by a policy that the caller read, nil for none.
func AskBy(r Reader, s Subject, p *policy.Policy, version int, now time.Time) (policy.Verdict, error) {
	j, err := JudgeBy(r, s, p, version, now)
	if err != nil {
		return policy.Verdict{}, err
	}
	return j.verdictWithChildren(r, s, now)
}

func (j Judgement) verdictWithChildren(r Reader, s Subject, now time.Time) (policy.Verdict, error) {
	for _, child := range j.Facts.Children {
		s.Digest = child
		c, err := JudgeBy(r, s, j.Policy, j.Version, now)
		if err != nil {
			return policy.Verdict{}, err
		}
		j.Verdict.Children = append(j.Verdict.Children, policy.ChildVerdict{Digest: child, Verdict: c.Verdict.Verdict})
	}
	return j.Verdict, nil
}
