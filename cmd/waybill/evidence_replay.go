package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/sigstore"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/collect"
	"github.com/waybill-dev/waybill/gateway/registry"
)

// replayOutcome is what verifying a piece of evidence once more came to.
type replayOutcome string

// The outcomes.
const (
	replayReproduced replayOutcome = "reproduced"
	replayIncomplete replayOutcome = "incomplete" // what it takes is not at hand
	replayDiffers    replayOutcome = "differs"    // it is, and says something else
)

// replayed is one piece of evidence, verified once more.
type replayed struct {
	Type     string        `json:"type"`
	ID       string        `json:"id"`
	Outcome  replayOutcome `json:"outcome"`
	Why      string        `json:"why,omitempty"`
	Location string        `json:"location,omitempty"`
}

// replay is what verifying them once more takes.
type replay struct {
	typ            string
	user, passFile string
	insecure       bool
	hosts          []string // that may be asked; a location is another's word
	keys           map[string]state.TrustKey
	schemas        map[string]json.RawMessage // by type
	relatives      []provenance.Digest        // by what else a document may name the image
	root           func(msp, name string, version int) (*evidence.Key, error)
}

func newEvidenceReplayCmd(a *app) *cobra.Command {
	var r replay
	cmd := &cobra.Command{
		Use: "replay IMAGE", Short: "Verify the evidence about an image once more", Args: operands("IMAGE"),
		Example: examples(`waybill evidence replay reg.example/app:1.0 --as audit/auditor`),
		Long: `Verify the evidence about an image once more, on this machine. The ledger keeps
the facts of each piece and the hashes of its envelope and of its document, and
neither of the two: they are fetched from where they were collected. The
outcomes are

  reproduced  the envelope has the recorded hash, who is recorded signed it, and
              it says what is recorded
  incomplete  it is not there any more, or nobody said where it is. What every
              endorsing peer verified then cannot be verified now
  differs     it is there, and something else comes out

Only the image's own registry is asked, and those named with --registry. The
exit code is 0 where all are reproduced, 10 where some are incomplete and 11
where one differs.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error { return a.replayEvidence(ctx, args[0], r) }),
	}
	cmd.Flags().StringVar(&r.typ, "type", "", "only of this type")
	cmd.Flags().StringSliceVar(&r.hosts, "registry", nil, "a registry to read besides the image's own")
	cmd.Flags().StringVar(&r.user, "registry-user", "", "user at the registry")
	cmd.Flags().StringVar(&r.passFile, "registry-password-file", "", "file with the password at the registry")
	cmd.Flags().BoolVar(&r.insecure, "registry-insecure", false, "use plain HTTP for the registry (always for one on this machine)")
	return cmd
}

func (a *app) replayEvidence(ctx context.Context, image string, r replay) error {
	p, err := a.readerPeer()
	if err != nil {
		return err
	}
	defer p.close()
	ref, err := p.image(ctx, image)
	if err != nil {
		return err
	}
	d := ref.Digest
	r.hosts = append(r.hosts, string(ref.Host))
	pieces, err := evaluate[[]struct {
		Evidence state.Evidence `json:"evidence"`
	}](ctx, p, "evidence:List", d.String())
	if err != nil {
		return err
	}
	if err := r.prepare(ctx, p, ref); err != nil {
		return err
	}
	all, count := []replayed{}, map[replayOutcome]int{}
	for _, piece := range pieces {
		e := piece.Evidence
		if e.Digest != d {
			return provenance.Errorf(provenance.Internal, "%s's peer answered with evidence about %s", p.me.org.Org, e.Digest.Short())
		}
		if r.typ != "" && r.typ != e.Type {
			continue
		}
		outcome, why := r.piece(ctx, e)
		all, count[outcome] = append(all, replayed{e.Type, e.ID, outcome, why, e.Location}), count[outcome]+1
	}
	if err := a.emit(all, func(w io.Writer) {
		t := table("TYPE", "EVIDENCE", "OUTCOME", "WHY")
		for _, x := range all {
			t.row(x.Type, shortHash(x.ID), string(x.Outcome), dash(x.Why))
		}
		t.write(w, "there is no evidence about this image")
	}); err != nil {
		return err
	}
	switch {
	case count[replayDiffers] > 0:
		return answerError{policy.Denied}
	case count[replayIncomplete] > 0 || len(all) == 0:
		return answerError{policy.Unknown}
	}
	return nil
}

// prepare asks for what the contract verified with.
func (r *replay) prepare(ctx context.Context, p ownPeer, ref provenance.Reference) error {
	keys, err := evaluate[[]state.TrustKey](ctx, p, "key:List")
	if err != nil {
		return err
	}
	r.keys = map[string]state.TrustKey{}
	for _, k := range keys {
		r.keys[k.MSP+"/"+k.Name] = k
	}
	schemas, err := evaluate[[]state.Schema](ctx, p, "schema:List")
	if err != nil {
		return err
	}
	r.schemas = map[string]json.RawMessage{}
	for _, s := range schemas {
		r.schemas[evidence.CustomPrefix+s.MSP+"/"+s.Name] = s.Schema
	}
	place, err := evaluate[state.Place](ctx, p, "image:Get", string(ref.Host), string(ref.Repository), ref.Digest.String())
	if err != nil && provenance.CodeOf(err) != provenance.NotFound { // it may be known by an index alone
		return err
	}
	r.relatives = place.Children
	if !place.Config.IsZero() {
		r.relatives = append(r.relatives, place.Config)
	}
	r.root = func(msp, name string, version int) (*evidence.Key, error) {
		v, _, err := p.trustedRoot(ctx, msp, name, version)
		if err != nil {
			return nil, err
		}
		return &evidence.Key{MSP: msp, Name: name, Kind: evidence.TrustedRoot, Root: v.Version.Text}, nil
	}
	return nil
}

// piece verifies one piece once more.
func (r replay) piece(ctx context.Context, e state.Evidence) (outcome replayOutcome, why string) {
	if e.Location == "" {
		return replayIncomplete, "nobody said where its document is"
	}
	ref, err := provenance.ParseReference(e.Location)
	if err != nil {
		return replayDiffers, "its location cannot be read"
	}
	if !slices.Contains(r.hosts, string(ref.Host)) {
		return replayIncomplete, "its document is said to be in " + string(ref.Host) + ": read it with --registry"
	}
	c, err := registry.New(registry.Config{
		Host: ref.Host, Insecure: r.insecure || local(ref.Host), Username: r.user, PasswordFile: r.passFile,
		UserAgent: "waybill", AllowPrivate: true, // whoever runs this reads what was recorded
	})
	if err != nil {
		return replayIncomplete, err.Error()
	}
	a, err := c.Artifact(ctx, ref.Repository, ref.Digest)
	if err != nil {
		return replayIncomplete, "its document cannot be fetched: " + err.Error()
	}
	outcome, why = replayIncomplete, "what lies at "+e.Location+" does not hold it"
	if evidence.Format(e.Format) != evidence.FormatPlain {
		err = collect.Envelopes(ctx, c, ref.Repository, a, func(x collect.Envelope) bool {
			if string(x.Format) != e.Format || !names(e, x.Bytes) {
				return false
			}
			outcome, why = r.judge(e, x.Bytes)
			return true
		})
		if err != nil && outcome == replayIncomplete {
			why = "its document cannot be fetched: " + err.Error()
		}
		return outcome, why
	}
	for _, layer := range a.Layers {
		var b bytes.Buffer
		if _, err := c.Document(ctx, ref.Repository, layer.Digest, &b); err != nil {
			why = "its document cannot be fetched: " + err.Error()
			continue
		}
		envelope := b.Bytes()
		if sum := sha256.Sum256(envelope); !names(e, envelope) && hex.EncodeToString(sum[:]) == e.Document {
			// It was too large to travel: its maker read it, as is done here again.
			_, signed := evidence.CutCustom(e.Type)
			if envelope, err = evidence.Statement(envelope, signed, e.Digest); err != nil {
				return replayDiffers, err.Error()
			}
		} else if !names(e, envelope) {
			continue
		}
		return r.judge(e, envelope)
	}
	return outcome, why
}

// names tells whether a piece is of this envelope: whoever came second with it has an
// id of its own.
func names(e state.Evidence, envelope []byte) bool {
	id := evidence.ID(evidence.Format(e.Format), envelope)
	sum := sha256.Sum256([]byte(id + "\x00" + state.SignerID(e.Signer)))
	return e.ID == id || e.ID == hex.EncodeToString(sum[:])
}

// judge verifies an envelope as the contract did, at the time of its transaction.
func (r replay) judge(e state.Evidence, envelope []byte) (outcome replayOutcome, why string) {
	_, signed := evidence.CutCustom(e.Type)
	named := false // whether the document names another image
	request := evidence.Request{
		Subject: e.Digest, Format: evidence.Format(e.Format), Type: signed, Envelope: envelope, Now: e.At,
		Known:  func() ([]provenance.Digest, error) { named = true; return r.relatives, nil },
		Schema: func(string) (json.RawMessage, error) { return r.schemas[e.Type], nil },
	}
	key, err := r.keyOf(e)
	if err != nil {
		return replayIncomplete, err.Error()
	}
	result, err := evidence.Verify(request, key)
	if err == nil && e.Private {
		result, err = result.Private()
	}
	switch {
	case err != nil && named:
		return replayIncomplete, "which index the ledger knew the image by then is not told: " + err.Error()
	case err != nil:
		return replayDiffers, err.Error()
	case result.Document != e.Document:
		return replayDiffers, fmt.Sprintf("its document is %.12s, recorded is %.12s", result.Document, e.Document)
	case result.Identity != e.Signer.Identity || result.Issuer != e.Signer.Issuer:
		return replayDiffers, "another identity signed it"
	case !maps.Equal(result.Claims, e.Claims):
		return replayDiffers, "its certificate says something else than is recorded"
	case !slices.EqualFunc(result.Uses, e.Uses, func(u sigstore.Use, w state.Use) bool { return u.ID == w.ID && u.At.Equal(w.At) }):
		return replayDiffers, "other authorities vouch for it than are recorded, or for another time"
	case !result.MadeAt.Equal(e.MadeAt):
		return replayDiffers, "it says another date than is recorded"
	case !sameJSON(result.Facts, e.Facts):
		return replayDiffers, "other facts are in it than are recorded; a newer program may read more"
	}
	return replayReproduced, ""
}

// keyOf is what a piece was verified with: a key, a trusted root in the version of then,
// or nil for the word of a person.
func (r replay) keyOf(e state.Evidence) (*evidence.Key, error) {
	switch {
	case e.Signer.Key == "":
		return nil, nil
	case e.RootVersion != 0:
		return r.root(e.Signer.MSP, e.Signer.Key, e.RootVersion)
	}
	k, ok := r.keys[e.Signer.MSP+"/"+e.Signer.Key]
	if !ok {
		return nil, provenance.Errorf(provenance.NotFound, "key %s of %s is not on the ledger", e.Signer.Key, e.Signer.MSP)
	}
	return &evidence.Key{MSP: k.MSP, Name: k.Name, Kind: evidence.KeyKind(k.Kind), PEM: k.PEM, NotBefore: k.NotBefore, NotAfter: k.NotAfter}, nil
}
