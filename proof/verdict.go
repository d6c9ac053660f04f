package proof

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Verdict is the contract's answer to "may this image run in this stage?", as peers of several organisations signed
// it, and what it rests on.
type Verdict struct {
	Image   string    `json:"image"`
	Stage   string    `json:"stage"`
	Verdict string    `json:"verdict"`
	AsOf    time.Time `json:"asOf"` // claimed by who asked, and within the window of every peer that signed
	// Block is the newest block that anything it rests on was written in: the peers were at least there.
	Block       uint64     `json:"block"`
	Policy      *Policy    `json:"policy,omitempty"`
	Reasons     []Reason   `json:"reasons"`
	EvidenceSet string     `json:"evidenceSet,omitempty"`
	Warning     string     `json:"warning,omitempty"`
	Until       *time.Time `json:"until,omitempty"`
	Children    []Child    `json:"children,omitempty"`
	Endorsers   []Endorser `json:"endorsers"`
	// Members are the organisations whose holds and evidence were read: those of the consortium then.
	Members []string `json:"members"`
	// Holds and EvidenceSets are the records that were read of the image, and those that were not there.
	Holds        []Record `json:"holds"`
	EvidenceSets []Record `json:"evidenceSets"`
}

// Policy is the version of the policy that was judged by.
type Policy struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	Hash    string `json:"hash,omitempty"`
}

// Reason is how one rule stands.
type Reason struct {
	Rule    string `json:"rule"`
	Outcome string `json:"outcome"`
	Detail  string `json:"detail"`
	Fix     string `json:"fix,omitempty"`
}

// Child is the verdict on one image that an index lists.
type Child struct {
	Digest  string `json:"digest"`
	Verdict string `json:"verdict"`
}

// Record is a key of a member that was read.
type Record struct {
	MSP     string `json:"msp"`
	Present bool   `json:"present"`
	// Block and Transaction are where it was written last, if Present.
	Block       uint64 `json:"block,omitempty"`
	Transaction uint64 `json:"transaction,omitempty"`
}

// answer is what the contract returns (policy.Verdict).
type answer struct {
	Image       string     `json:"image"`
	Digest      string     `json:"digest"`
	Stage       string     `json:"stage"`
	Verdict     string     `json:"verdict"`
	Height      uint64     `json:"height"`
	Policy      *Policy    `json:"policy"`
	Reasons     []Reason   `json:"reasons"`
	Attempt     int        `json:"attempt"`
	Requester   *requester `json:"requester"`
	EvidenceSet string     `json:"evidenceSet"`
	Warning     string     `json:"warning"`
	Until       *time.Time `json:"until"`
	Children    []Child    `json:"children"`
}

type requester struct {
	MSP  string `json:"msp"`
	Name string `json:"name"`
}

// ask is the function that a receipt is an answer of.
const ask = "verdict:Ask"

// question is what it was asked.
type question struct {
	host, repository, digest, stage string
	hash                            []byte // of the digest
}

func (q question) image() string { return q.host + "/" + q.repository + "@" + q.digest }

func parseQuestion(v *invocation) (q question, err error) {
	if len(v.args) != 5 || string(v.args[0]) != ask {
		return q, fmt.Errorf("the call is not %s of a registry, a repository, a digest and a stage", ask)
	}
	q = question{host: string(v.args[1]), repository: string(v.args[2]), digest: string(v.args[3]), stage: string(v.args[4])}
	_, text, _ := strings.Cut(q.digest, ":")
	if q.hash, err = hex.DecodeString(text); err != nil || len(q.hash) == 0 {
		return q, fmt.Errorf("the call is about %.200q, which is no digest", q.digest)
	}
	return q, nil
}

// parseVerdict reads the answer, and checks that it is one to the question.
func parseVerdict(b []byte, q question) (*Verdict, error) {
	var a answer
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		return nil, fmt.Errorf("the answer has another form than verdicts of this version: %w: %w", err, errUnknown)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the answer goes on behind its end")
	}
	if a.Image != q.image() || a.Digest != q.digest || a.Stage != q.stage {
		return nil, fmt.Errorf("asked about %s for %s, the peers answered about %.300q for %.100q", q.image(), q.stage, a.Image, a.Stage)
	}
	if _, known := answers[a.Verdict]; !known {
		return nil, fmt.Errorf("the answer %.80q: %w", a.Verdict, errUnknown)
	}
	return &Verdict{
		Image: a.Image, Stage: a.Stage, Verdict: a.Verdict, Policy: a.Policy, Reasons: append([]Reason{}, a.Reasons...), EvidenceSet: a.EvidenceSet,
		Warning: a.Warning, Until: a.Until, Children: a.Children,
	}, nil
}

// key is the contract's key of a record (chaincode/state.Key).
func key(kind string, attributes ...string) string {
	return "\x00" + kind + "\x00" + strings.Join(append(attributes, ""), "\x00")
}

// reads are the keys that an answer rests on, and where the value of each was written; nil where there was none.
type reads map[string]*height

// readSet takes what a question read, which must be of the chaincode's state, by keys alone, and nothing else: then the
// keys that were read and absent are all that could have been there.
func readSet(chaincode string, results []namespace) (reads, error) {
	all := reads{}
	for _, n := range results {
		if len(n.writes) > 0 || n.private || n.ranges {
			return nil, fmt.Errorf("the question wrote into %q, or read more than keys", n.name)
		}
		switch n.name {
		case chaincode:
			for _, r := range n.reads {
				all[r.key] = r.height
			}
		case "_lifecycle": // the peers' own look at the chaincode's definition
		default:
			return nil, fmt.Errorf("the question went on to chaincode %q", n.name)
		}
	}
	return all, nil
}

// rest checks that an answer rests on what a verdict on the question has to rest on, and takes down what that was.
func (v *Verdict) rest(q question, all reads) error {
	must := []string{key("members"), key("policies"), key("clock"), key("labels", q.host, q.repository), q.placeKey(),
		key("promotion", q.stage, q.host, q.repository, q.digest), key("released", q.stage, q.host, q.repository, q.digest)}
	if place, read := all[q.placeKey()]; read && place == nil { // then it may be in a page of its repository
		must = append(must, key("directory", q.host, q.repository, ""))
	}
	v.Members = all.members(key("hold", q.digest))
	for _, msp := range v.Members {
		must = append(must, key("evset", q.digest, msp), key("witness", q.digest, q.host, q.repository, msp), key("waivers", q.host, q.repository, msp))
		for _, c := range v.Children {
			must = append(must, key("hold", c.Digest, msp))
		}
	}
	for _, k := range must {
		if _, read := all[k]; !read {
			return fmt.Errorf("the answer does not rest on %s", strings.ReplaceAll(k, "\x00", "/"))
		}
	}
	if all[key("members")] == nil || len(v.Members) == 0 {
		return errors.New("the answer was given before there was a consortium")
	}
	for _, other := range []string{key("evset", q.digest), key("witness", q.digest, q.host, q.repository)} {
		if !slices.Equal(all.members(other), v.Members) {
			return fmt.Errorf("the answer rests on %s of others than the members whose holds were read", strings.ReplaceAll(other, "\x00", "/"))
		}
	}
	v.Holds, v.EvidenceSets = all.records("hold", q.digest, v.Members), all.records("evset", q.digest, v.Members)
	for _, h := range all {
		if h != nil {
			v.Block = max(v.Block, h.block)
		}
	}
	return nil
}

// placeKey is the key of the image's place in its repository, where it is not in a page.
func (q question) placeKey() string {
	return key("place", base64.RawURLEncoding.EncodeToString(q.hash), q.host, q.repository)
}

// members are the organisations of whom a record was read: the last part of their keys.
func (all reads) members(prefix string) []string {
	var list []string
	for k := range all {
		if msp, under := strings.CutPrefix(k, prefix); under && strings.Count(msp, "\x00") == 1 {
			list = append(list, strings.TrimSuffix(msp, "\x00"))
		}
	}
	slices.Sort(list)
	return list
}

func (all reads) records(kind, digest string, members []string) []Record {
	list := make([]Record, len(members))
	for i, msp := range members {
		list[i].MSP = msp
		if h := all[key(kind, digest, msp)]; h != nil {
			list[i].Present, list[i].Block, list[i].Transaction = true, h.block, h.transaction
		}
	}
	return list
}
