package contract

import (
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// ImageContract answers where an image is.
type ImageContract struct{ contractapi.Contract }

// ImagePlace is one repository that holds an image.
type ImagePlace struct {
	Host       string      `json:"host"`
	Repository string      `json:"repository"`
	Place      state.Place `json:"place"`
}

// Get returns the places of an image; NotFound when it was never pushed anywhere.
func (ImageContract) Get(tx *Tx, digest string) (string, error) {
	d, err := provenance.ParseDigest(digest)
	if err != nil {
		return "", err
	}
	entries, err := tx.Scan(maxScan, state.TypePlace, state.PlacePrefix(d)...)
	if err != nil {
		return "", err
	}
	if len(entries) == 0 {
		return "", provenance.Errorf(provenance.NotFound, "image %s is not on the ledger", d.Short())
	}
	places := make([]ImagePlace, len(entries))
	for i, e := range entries {
		_, attributes, ok := state.SplitKey(e.Key)
		if !ok || len(attributes) != 3 {
			return "", provenance.Errorf(provenance.Internal, "key %q is no place", e.Key)
		}
		places[i].Host, places[i].Repository = attributes[1], attributes[2]
		if err := state.Decode(e.Value, &places[i].Place); err != nil {
			return "", err
		}
	}
	return answer(places, nil)
}

// TagContract answers what a tag names.
type TagContract struct{ contractapi.Contract }

// Get returns a tag's record; NotFound when it was never set.
func (TagContract) Get(tx *Tx, host, repository, tag string) (string, error) {
	h, err := provenance.ParseHost(host)
	if err != nil {
		return "", err
	}
	repo, err := provenance.ParseRepository(repository)
	if err != nil {
		return "", err
	}
	name, err := provenance.ParseTag(tag)
	if err != nil {
		return "", err
	}
	var t state.Tag
	found, err := state.Read(tx, state.TagKey(h, repo, name), &t)
	if err == nil && !found {
		err = provenance.Errorf(provenance.NotFound, "tag %s/%s:%s is not on the ledger", h, repo, name)
	}
	return answer(t, err)
}

// VerdictContract answers "may this image run in this stage?".
type VerdictContract struct{ contractapi.Contract }

// Ask returns the verdict as this peer sees it.
func (VerdictContract) Ask(tx *Tx, host, repository, digest, stage string) (string, error) {
	s, err := parseSubject(host, repository, digest, stage)
	if err != nil {
		return "", err
	}
	v, err := state.Ask(tx, s, tx.now)
	return answer(v, err)
}

func parseSubject(host, repository, digest, stage string) (state.Subject, error) {
	var s state.Subject
	var err error
	if s.Host, err = provenance.ParseHost(host); err != nil {
		return s, err
	}
	if s.Repository, err = provenance.ParseRepository(repository); err != nil {
		return s, err
	}
	if s.Digest, err = provenance.ParseDigest(digest); err != nil {
		return s, err
	}
	s.Stage, err = policy.ParseStageName(stage)
	return s, err
}
