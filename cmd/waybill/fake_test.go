package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/network"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	imageA  = "reg.example:5000/app@" + digestA
)

// world is everything outside the process: gateways, peers, a network. It
// remembers what it was asked.
type world struct {
	// nil: what a test does not answer must not be asked
	imageAPI
	findAPI
	policyAPI
	proposalAPI
	evidenceAPI
	settingAPI
	statusAPI
	sweepAPI
	proofAPI

	t       *testing.T
	running map[string]bool // gateway addresses
	env     map[string]string
	stdin   string
	verdict policy.Verdict
	stale   bool
	at      string // as of when gateways are asked
	fails   error  // of the next transaction
	asked   string // who asked which gateway
	acts    []string
	handed  map[string][]byte // the transient data of the last act
	payload string
	nodes   *fakeNetwork
	// peers holds what the peers answer; what is not there they must not be asked.
	peers map[string]func(args ...string) any
	// results holds what transactions return; the others return the verdict.
	results map[string]func(args ...string) any
	// down are the organisations whose peer does not answer.
	down map[string]bool
	// heard is which peer was asked what.
	heard []string
	// shown is the policy that gateways show; nil is one of few words.
	shown *waybillv1.Policy
	// channel is the channel's configuration, where a test is about it.
	channel *fakeChannel
	// gatewayLies changes what gateways answer of a verdict.
	gatewayLies func(*waybillv1.GetVerdictResponse)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, running: map[string]bool{"127.0.0.1:7056": true}, env: map[string]string{}, nodes: &fakeNetwork{t: t, dir: t.TempDir()}, down: map[string]bool{}}
	w.peers = map[string]func(args ...string) any{
		"tag:Get": func(args ...string) any {
			switch args[2] {
			case "1.0":
				return state.Tag{Digest: w.verdict.Digest, Moves: 1}
			case "gone":
				return state.Tag{}
			case "broken":
				return errors.New("no route")
			}
			return provenance.Errorf(provenance.NotFound, "no such tag")
		},
		"verdict:Ask": func(args ...string) any {
			v := w.verdict
			v.Height, v.Image, v.Stage = 0, args[0]+"/"+args[1]+"@"+args[2], args[3]
			d, err := provenance.ParseDigest(args[2])
			if err != nil {
				t.Error(err)
			}
			v.Digest = d
			return v
		},
		"policy:Get": func(...string) any { return storedPolicy(t) },
	}
	w.results = map[string]func(args ...string) any{
		"proposal:Open": func(args ...string) any {
			p := state.Proposal{ID: strings.Repeat("ab", 32), Kind: state.ProposalKind(args[0]), Body: json.RawMessage(args[1]), Status: state.ProposalOpen}
			if p.Kind == state.ProposePolicy {
				p = policyProposal(t, args[1])
			}
			return tally{Proposal: p, Yes: []string{"VendorMSP"}, No: []string{}, Needed: 3}
		},
	}
	return w
}

// policyProposal is the first proposal of a policy's text, to version 2, as the
// contract makes it.
func policyProposal(t *testing.T, text string) state.Proposal {
	t.Helper()
	read, err := policy.ParseText([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	p := state.Proposal{Round: 1, Kind: state.ProposePolicy, Name: "default", Base: 2, Body: read.Canonical(), Source: text, Status: state.ProposalOpen}
	p.ID, p.Hash = state.ProposalID(state.ChangeHash(p.Kind, p.Name, p.Base, p.Body, p.Source), p.Round), state.ContentHash(p.Body, p.Source)
	return p
}

// storedPolicy is the version that pendingVerdict goes by, as a peer returns it.
func storedPolicy(t *testing.T) state.PolicyVersion {
	t.Helper()
	p, err := policy.Parse([]byte(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"default"},"spec":{"match":["reg.example:5000/**"],"stages":[{"name":"production","approvals":{"min":2}}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	return state.PolicyVersion{Name: "default", Version: 2, Hash: hashOf(p.Canonical()), Text: p.Canonical()}
}

func testClients() network.Clients {
	c := network.Clients{Channel: "waybill", Chaincode: "waybill"}
	for i, name := range []string{"vendor", "security"} {
		o := network.Client{
			Org: name, MSPID: strings.ToUpper(name[:1]) + name[1:] + "MSP",
			PeerAddress: fmt.Sprintf("127.0.0.1:%d", 7050+10*i), GatewayAddress: fmt.Sprintf("127.0.0.1:%d", 7056+10*i),
			People: map[string]network.Identity{},
		}
		for _, p := range network.People() {
			o.People[p] = network.Identity{Cert: p + ".crt", Key: p + ".key"}
		}
		c.Orgs = append(c.Orgs, o)
	}
	return c
}

// run runs one command line in the world.
func (w *world) run(args ...string) (code int, out, errOut string) {
	w.t.Helper()
	var o, e bytes.Buffer
	a := newApp("bin/waybill", strings.NewReader(w.stdin), &o, &e, func(k string) string { return w.env[k] })
	a.awaitTimeout = 500 * time.Millisecond
	a.backends = backends{
		clients: func(dir string) (network.Clients, error) {
			if dir == "nowhere" {
				return network.Clients{}, fs.ErrNotExist
			}
			return testClients(), nil
		},
		reachable: func(_ context.Context, address string) bool { return w.running[address] },
		peer: func(_ network.Clients, p person) (peer, error) {
			return fakePeer{w, p}, nil
		},
		channel: func(_ network.Clients, p person) (channelMember, error) {
			return w.channel.of(p), nil
		},
		gateway: func(_ context.Context, address, _ string, p person, at string) (gatewayAPI, error) {
			w.asked = p.String() + " at " + address
			w.at = at
			return w, nil
		},
		open: func(dir string) (localNetwork, error) {
			if dir == "nowhere" {
				return nil, fmt.Errorf("%s: %w", dir, network.ErrNoNetwork)
			}
			return w.nodes, nil
		},
		network: func(string, int, io.Writer) (localNetwork, error) { return w.nodes, nil },
	}
	code = run(w.t.Context(), a, args)
	return code, o.String(), e.String()
}

// fakePeer is a peer as one person reaches it.
type fakePeer struct {
	w *world
	p person
}

func (s fakePeer) SubmitTransient(_ context.Context, transient map[string][]byte, fn string, args ...string) (ledger.Result, error) {
	s.w.handed = transient
	s.w.acts = append(s.w.acts, s.p.String()+": "+fn+" "+strings.Join(args, " "))
	payload := s.w.payload
	if payload == "" {
		var v any = s.w.verdict
		if result, ok := s.w.results[fn]; ok {
			v = result(args...)
		}
		b, err := json.Marshal(v)
		if err != nil {
			return ledger.Result{}, err
		}
		payload = string(b)
	}
	return ledger.Result{TxID: "f00d", Block: 42, Payload: []byte(payload)}, s.w.fails
}

func (s fakePeer) EvaluateOwn(_ context.Context, fn string, args ...string) ([]byte, error) {
	s.w.heard = append(s.w.heard, s.p.String()+": "+fn+" "+strings.Join(args, " "))
	if s.w.down[s.p.org.Org] {
		return nil, provenance.Errorf(provenance.Unavailable, "connection refused")
	}
	answer, ok := s.w.peers[fn]
	if !ok {
		s.w.t.Errorf("the peer of %s was asked %s", s.p, fn)
		return nil, errors.New("no such question")
	}
	v := answer(args...)
	if err, failed := v.(error); failed {
		return nil, err
	}
	return json.Marshal(v)
}

func (s fakePeer) Height(context.Context) (uint64, error) {
	if s.w.down[s.p.org.Org] {
		return 0, provenance.Errorf(provenance.Unavailable, "connection refused")
	}
	return 41, nil
}

func (w *world) Close() error { return nil }

func (s fakePeer) Close() error { return nil }

func (w *world) GetTag(_ context.Context, _ provenance.Host, _ provenance.Repository, tag provenance.Tag) (*waybillv1.GetTagResponse, error) {
	switch tag {
	case "1.0":
		return &waybillv1.GetTagResponse{Digest: digestA, Height: 41}, nil
	case "gone":
		return &waybillv1.GetTagResponse{Height: 41}, nil
	case "broken":
		return nil, errors.New("no route")
	}
	return nil, provenance.Errorf(provenance.NotFound, "no such tag")
}

func (w *world) GetVerdict(_ context.Context, image, stage string) (*waybillv1.GetVerdictResponse, error) {
	v := w.verdict
	res := &waybillv1.GetVerdictResponse{Image: image, Digest: image[strings.Index(image, "@")+1:], Stage: stage, Verdict: string(v.Verdict), Height: v.Height, Stale: w.stale, EvidenceSet: v.EvidenceSet}
	if v.Policy != nil {
		res.Policy = &waybillv1.PolicyVersion{Name: v.Policy.Name, Version: int32(v.Policy.Version)}
	}
	for _, r := range v.Reasons {
		res.Reasons = append(res.Reasons, &waybillv1.Reason{Rule: r.Rule, Outcome: string(r.Outcome), Detail: r.Detail, Fix: r.Fix})
	}
	if w.gatewayLies != nil {
		w.gatewayLies(res)
	}
	return res, nil
}

// at is a time of the ledger, n minutes into the day.
func at(n int) *timestamppb.Timestamp {
	return timestamppb.New(time.Date(2026, 11, 24, 10, n, 0, 0, time.UTC))
}

// golden compares with testdata/name, or writes it when UPDATE_GOLDEN is set.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}
