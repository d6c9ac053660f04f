package contract

import (
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// LabelContract keeps what a registry's owner says about its repositories.
type LabelContract struct{ contractapi.Contract }

// List returns the labels of a repository.
func (LabelContract) List(tx *Tx, host, repository string) (string, error) {
	h, repo, err := parseRepository(host, repository)
	if err != nil {
		return "", err
	}
	labels := state.Labels{}
	_, err = state.Read(tx, state.LabelsKey(h, repo), &labels)
	if labels.Labels == nil {
		labels.Labels = map[string]string{}
	}
	return answer(labels, err)
}

func parseRepository(host, repository string) (provenance.Host, provenance.Repository, error) {
	h, err := provenance.ParseHost(host)
	if err != nil {
		return "", "", err
	}
	repo, err := provenance.ParseRepository(repository)
	return h, repo, err
}
