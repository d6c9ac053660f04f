package contract

import (
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// ImageContract answers how an image came into a repository.
type ImageContract struct{ contractapi.Contract }

// Get returns an image's place in a repository; NotFound when it was never pushed there.
func (ImageContract) Get(tx *Tx, host, repository, digest string) (string, error) {
	h, repo, err := parseRepository(host, repository)
	if err != nil {
		return "", err
	}
	d, err := provenance.ParseDigest(digest)
	if err != nil {
		return "", err
	}
	var p state.Place
	found, err := state.Read(tx, state.PlaceKey(d, h, repo), &p)
	if err == nil && !found {
		err = provenance.Errorf(provenance.NotFound, "image %s/%s@%s is not on the ledger", h, repo, d.Short())
	}
	return answer(p, err)
}

// TagContract answers what a tag names.
type TagContract struct{ contractapi.Contract }

// Get returns a tag's record; NotFound when it was never set.
func (TagContract) Get(tx *Tx, host, repository, tag string) (string, error) {
	h, repo, err := parseRepository(host, repository)
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
	if s.Host, s.Repository, err = parseRepository(host, repository); err != nil {
		return s, err
	}
	if s.Digest, err = provenance.ParseDigest(digest); err != nil {
		return s, err
	}
	s.Stage, err = policy.ParseStageName(stage)
	return s, err
}

func parseRepository(host, repository string) (provenance.Host, provenance.Repository, error) {
	h, err := provenance.ParseHost(host)
	if err != nil {
		return "", "", err
	}
	repo, err := provenance.ParseRepository(repository)
	return h, repo, err
}
