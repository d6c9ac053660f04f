package api

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// checked is the client's end of a call: an error with its code, or an answer
// that was compared with its question. A gateway may lie, or stand behind a
// proxy that mixes answers up; what it says of another thing than was asked must
// never be shown as the answer.
func checked[R any](answer R, err error, compare func(R) error) (R, error) {
	if err != nil {
		return answer, fromStatus(err)
	}
	if err := compare(answer); err != nil {
		var none R
		return none, err
	}
	return answer, nil
}

// other says that an answer is about something else.
func other(what string, asked, got any) error {
	return withHint(provenance.Errorf(provenance.Internal, "the gateway answers another question: asked about %s %v, it speaks of %v", what, asked, got),
		"it is broken or lies; ask another one, or your own organisation's peer")
}

// same compares one field of an answer with what was asked; an empty question is about every value.
func same(what, asked, got string) error {
	if asked == "" || asked == got {
		return nil
	}
	return other(what, fmt.Sprintf("%q", asked), fmt.Sprintf("%q", got))
}

// sameEach is same for the items of a list.
func sameEach[T any](what, asked string, items []T, field func(T) string) error {
	for _, item := range items {
		if err := same(what, asked, field(item)); err != nil {
			return err
		}
	}
	return nil
}

// subject is what an answer says that it is about.
type subject interface {
	GetImage() string
	GetDigest() string
}

// sameImage compares an answer with the image that was asked about: the digest
// where one was given, and always the repository. It returns the image with the
// digest that the answer is about.
func sameImage(asked string, got subject) (provenance.Reference, error) {
	want, err := parseImage(asked)
	if err != nil {
		return want, err // a gateway that takes it does not read what was asked
	}
	d, err := provenance.ParseDigest(got.GetDigest())
	if err != nil || !want.Digest.IsZero() && want.Digest != d {
		return want, other("image", asked, fmt.Sprintf("digest %q", got.GetDigest()))
	}
	named, err := parseImage(got.GetImage())
	if err != nil || named.Host != want.Host || named.Repository != want.Repository || named.Digest != d {
		return want, other("image", asked, fmt.Sprintf("%q", got.GetImage()))
	}
	want.Digest = d
	return want, nil
}

// inRepository compares where something is with the repository that was asked
// about; without one, it may be anywhere.
func inRepository(asked provenance.Reference, host, repository string) error {
	if asked.Host == "" || string(asked.Host) == host && string(asked.Repository) == repository {
		return nil
	}
	return other("repository", fmt.Sprintf("%s/%s", asked.Host, asked.Repository), fmt.Sprintf("%s/%s", host, repository))
}

func compareImage(asked string, r *waybillv1.GetImageResponse) error {
	ref, err := sameImage(asked, r)
	if err != nil {
		return err
	}
	for _, p := range r.GetPlaces() {
		if err := inRepository(ref, p.GetHost(), p.GetRepository()); err != nil {
			return err
		}
	}
	for _, rel := range r.GetReleases() {
		if err := ofImage(ref, rel); err != nil {
			return err
		}
	}
	for _, p := range r.GetPromotions() {
		if err := ofImage(ref, p); err != nil {
			return err
		}
	}
	return nil
}

// ofImage compares a record of an image with the image that was asked about.
func ofImage(asked provenance.Reference, record interface {
	GetHost() string
	GetRepository() string
	GetDigest() string
}) error {
	if err := same("digest", asked.Digest.String(), record.GetDigest()); err != nil {
		return err
	}
	return inRepository(asked, record.GetHost(), record.GetRepository())
}

func compareTag(host provenance.Host, repo provenance.Repository, tag provenance.Tag, r *waybillv1.GetTagResponse) error {
	asked := provenance.Reference{Host: host, Repository: repo, Tag: tag}
	if r.GetHost() != string(host) || r.GetRepository() != string(repo) || r.GetTag() != string(tag) {
		return other("tag", asked, fmt.Sprintf("%s/%s:%s", r.GetHost(), r.GetRepository(), r.GetTag()))
	}
	return nil
}

func compareVerdict(image, stage string, r *waybillv1.GetVerdictResponse) error {
	if _, err := sameImage(image, r); err != nil {
		return err
	}
	return same("stage", stage, r.GetStage())
}

func compareReceipt(in *waybillv1.GetReceiptRequest, r *waybillv1.GetReceiptResponse) error {
	if _, err := sameImage(in.GetImage(), r); err != nil {
		return err
	}
	return same("stage", in.GetStage(), r.GetStage())
}

func compareProof(in *waybillv1.GetProofRequest, r *waybillv1.GetProofResponse) error {
	if in.GetImage() == "" {
		return same("transaction", in.GetTxId(), r.GetTxId())
	}
	_, err := sameImage(in.GetImage(), r)
	return err
}

// compareHistory holds every entry against what was asked about, as the index
// chooses them: of a digest its own and, where a repository was named with it,
// no other repository's.
func compareHistory(asked string, r *waybillv1.ListHistoryResponse) error {
	ref, err := parseImage(asked)
	if err != nil {
		if ref, err = parseRepository(asked); err != nil {
			return err
		}
	}
	for _, e := range r.GetEntries() {
		if !ref.Digest.IsZero() {
			if err := same("digest", ref.Digest.String(), e.GetDigest()); err != nil {
				return err
			}
			if e.GetRepository() == "" {
				continue // an act on the content, in whatever repository it is
			}
		} else if err := same("tag", string(ref.Tag), e.GetTag()); err != nil {
			return err
		}
		if err := inRepository(ref, e.GetHost(), e.GetRepository()); err != nil {
			return err
		}
	}
	return nil
}

func comparePulls(asked string, r *waybillv1.ListPullsResponse) error {
	ref, err := sameImage(asked, r)
	if err != nil {
		return err
	}
	for _, p := range r.GetPulls() {
		if err := inRepository(ref, p.GetHost(), p.GetRepository()); err != nil {
			return err
		}
	}
	return nil
}

// compareFound holds images against the digits that were asked for: what is completed
// is asked about next.
func compareFound(digits, repository string, r *waybillv1.FindImagesResponse) error {
	in, err := askedRepository(repository)
	if err != nil {
		return err
	}
	for _, image := range r.GetImages() {
		ref, err := provenance.ParseReference(image)
		if err != nil || !strings.HasPrefix(ref.Digest.String(), "sha256:"+strings.TrimPrefix(digits, "sha256:")) {
			return other("image", digits, fmt.Sprintf("%q", image))
		}
		if err := inRepository(in, string(ref.Host), string(ref.Repository)); err != nil {
			return err
		}
	}
	return nil
}

func comparePromotions(in *waybillv1.ListPromotionsRequest, r *waybillv1.ListPromotionsResponse) error {
	repo, err := askedRepository(in.GetRepository())
	if err != nil {
		return err
	}
	for _, p := range r.GetPromotions() {
		if err := same("stage", in.GetStage(), p.GetStage()); err != nil {
			return err
		}
		if err := same("status", in.GetStatus(), p.GetStatus()); err != nil {
			return err
		}
		if err := inRepository(repo, p.GetHost(), p.GetRepository()); err != nil {
			return err
		}
	}
	return nil
}

// askedRepository reads host/repository, or nothing for every one.
func askedRepository(s string) (provenance.Reference, error) {
	if s == "" {
		return provenance.Reference{}, nil
	}
	return parseRepository(s)
}

func comparePolicy(name string, version int, r *waybillv1.GetPolicyResponse) error {
	p := r.GetPolicy()
	if p.GetName() != name || version != 0 && int(p.GetVersion()) != version {
		return other("policy", fmt.Sprintf("%s version %d", name, version), fmt.Sprintf("%s version %d", p.GetName(), p.GetVersion()))
	}
	return nil
}

func compareEvidence(image, typ string, r *waybillv1.GetEvidenceResponse) error {
	ref, err := sameImage(image, r)
	if err != nil {
		return err
	}
	for _, e := range r.GetEvidence() {
		if err := same("evidence of type", typ, e.GetType()); err != nil {
			return err
		}
		if e.GetInherited() {
			continue // of an index that holds the image, as it says
		}
		if err := same("digest", ref.Digest.String(), e.GetDigest()); err != nil {
			return err
		}
	}
	return nil
}

func compareTree(image string, r *waybillv1.GetTreeResponse) error {
	ref, err := sameImage(image, r)
	if err != nil {
		return err
	}
	return same("digest", ref.Digest.String(), r.GetRoot().GetDigest())
}

// compareSimulation compares by the policy's name; a text without one is the gateway's to refuse.
func compareSimulation(policy []byte, r *waybillv1.SimulatePolicyResponse) error {
	var p struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(policy, &p); err != nil {
		return provenance.Wrap(provenance.Invalid, err, "policy")
	}
	return same("policy", p.Metadata.Name, r.GetName())
}

func compareWaivers(repository string, r *waybillv1.ListWaiversResponse) error {
	ref, err := askedRepository(repository)
	if err != nil {
		return err
	}
	for _, w := range r.GetWaivers() {
		if err := inRepository(ref, w.GetHost(), w.GetRepository()); err != nil {
			return err
		}
	}
	return nil
}

func compareLabels(repository string, r *waybillv1.ListLabelsResponse) error {
	ref, err := askedRepository(repository)
	if err != nil {
		return err
	}
	for _, l := range r.GetLabels() {
		if err := inRepository(ref, l.GetHost(), l.GetRepository()); err != nil {
			return err
		}
	}
	return nil
}
