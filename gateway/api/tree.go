package api

import (
	"context"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// Bounds of a tree: an index, its platforms, what refers to them, and what
// refers to that.
const (
	maxDepth = 4
	maxNodes = 500
	// maxPieces bounds the evidence in all of it.
	maxPieces = 2000
)

// The kinds of node.
const (
	nodeImage    = "image"
	nodeIndex    = "index"
	nodePlatform = "platform"
	nodeReferrer = "referrer"
	nodeSigned   = "signature-tag"
)

// GetTree implements waybillv1.WaybillServer.
func (s *service) GetTree(ctx context.Context, in *waybillv1.GetTreeRequest) (*waybillv1.GetTreeResponse, error) {
	ref, err := provenance.ParseReference(in.GetImage())
	if err != nil {
		return nil, err
	}
	out := &waybillv1.GetTreeResponse{}
	err = s.viewAt(ctx, in.GetAt(), func(at moment, r Reads) error {
		if err := resolve(r, &ref); err != nil {
			return err
		}
		out.AsOf = at.asOf()
		out.Height, out.Stale, out.Digest, out.Image = at.height, at.stale, ref.Digest.String(), ref.String()
		reader, err := newEvidenceReader(r)
		if err != nil {
			return err
		}
		t := &tree{r: r, host: ref.Host, repo: ref.Repository, evidence: reader}
		out.Root, err = t.node(ref.Digest, nodeImage, 0)
		out.Truncated = t.truncated
		if err == nil && !out.Root.GetRecorded() && len(out.Root.GetEvidence()) == 0 && len(out.Root.GetChildren()) == 0 {
			err = withHint(provenance.Errorf(provenance.NotFound, "image %s is not on the ledger", ref),
				"push it to a registry that is on the ledger, or wait for its gateway to record the push")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// tree gathers the nodes of one answer.
type tree struct {
	r         Reads
	host      provenance.Host
	repo      provenance.Repository
	evidence  *evidenceReader
	nodes     int
	pieces    int
	truncated bool
}

func (t *tree) node(d provenance.Digest, kind string, depth int) (*waybillv1.TreeNode, error) {
	t.nodes++
	n := &waybillv1.TreeNode{Digest: d.String(), Kind: kind}
	var place state.Place
	found, err := state.Read(t.r, state.PlaceKey(d, t.host, t.repo), &place)
	if err != nil {
		return nil, err
	}
	n.Recorded, n.Deleted = found, place.Deleted
	n.MediaType, n.ArtifactType, n.Size = place.MediaType, place.ArtifactType, place.Size
	if kind == nodeImage && len(place.Children) > 0 {
		n.Kind = nodeIndex
	}
	tags, err := t.r.Tags(d, t.host, t.repo)
	if err != nil {
		return nil, err
	}
	if len(tags) > maxTags {
		tags, t.truncated = tags[:maxTags], true
	}
	for _, tag := range tags {
		n.Tags = append(n.Tags, string(tag))
	}
	err = each(t.r, func(_ []string, h state.Hold) error {
		if !h.Lifted {
			n.QuarantinedBy = append(n.QuarantinedBy, h.MSP)
		}
		return nil
	}, state.TypeHold, d.String())
	if err != nil {
		return nil, err
	}
	var more bool
	if n.Evidence, more, err = t.evidence.about(d, min(maxList, maxPieces-t.pieces)); err != nil {
		return nil, err
	}
	t.pieces += len(n.Evidence)
	t.truncated = t.truncated || more
	for _, e := range n.Evidence {
		e.Facts = "" // GetEvidence has them
	}
	for _, child := range place.Children {
		if err := t.add(n, child, nodePlatform, depth); err != nil {
			return nil, err
		}
	}
	return n, t.referring(n, d, depth)
}

// referring adds what names the image as its subject, and what cosign's older
// layout ties to it by the name of a tag.
func (t *tree) referring(n *waybillv1.TreeNode, d provenance.Digest, depth int) error {
	// One more than there is room for: add then says that there is more.
	referrers, err := t.r.Referrers(d, t.host, t.repo, maxNodes+1)
	if err != nil {
		return err
	}
	for _, r := range referrers {
		if err := t.add(n, r, nodeReferrer, depth); err != nil {
			return err
		}
	}
	base := strings.Replace(d.String(), ":", "-", 1)
	for _, suffix := range []string{".sig", ".att", ".sbom"} {
		var tag state.Tag
		found, err := state.Read(t.r, state.TagKey(t.host, t.repo, provenance.Tag(base+suffix)), &tag)
		if err != nil {
			return err
		}
		if found && !tag.Digest.IsZero() {
			if err := t.add(n, tag.Digest, nodeSigned, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// add adds a node below n, as far as an answer goes.
func (t *tree) add(n *waybillv1.TreeNode, d provenance.Digest, kind string, depth int) error {
	if depth >= maxDepth || t.nodes >= maxNodes {
		t.truncated = true
		return nil
	}
	child, err := t.node(d, kind, depth+1)
	if err != nil {
		return err
	}
	n.Children = append(n.Children, child)
	return nil
}
