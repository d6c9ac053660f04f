package contract

import (
	"regexp"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// LabelContract keeps what a registry's owner says about its repositories.
type LabelContract struct{ contractapi.Contract }

var labelName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?$`)

// Set labels a repository of one of the caller's organisation's registries; ""
// removes the label. The same value again is success without a write.
func (LabelContract) Set(tx *Tx, host, repository, name, value string) (string, error) {
	h, repo, err := parseRepository(host, repository)
	if err != nil {
		return "", err
	}
	if !labelName.MatchString(name) {
		return "", provenance.Errorf(provenance.Invalid, "label %q: want 1 to 63 lower-case letters, digits, '.', '_', '/', '-'", clip(name))
	}
	if err := provenance.CheckText("label "+name, value, maxValue); err != nil {
		return "", err
	}
	var registry state.Registry
	if _, err := state.Read(tx, state.RegistryKey(h), &registry); err != nil {
		return "", err
	}
	switch claim, ok := registry.Claim(repo); {
	case !ok:
		return "", provenance.Errorf(provenance.NotFound, "no organisation has registry %s, or the namespace of %s", h, repo)
	case claim.Owner != tx.caller.MSP:
		return "", provenance.Errorf(provenance.Forbidden, "%s/%s belongs to %s, which alone labels it", h, repo, claim.Owner)
	}
	var labels state.Labels
	if _, err := state.Read(tx, state.LabelsKey(h, repo), &labels); err != nil {
		return "", err
	}
	if labels.Labels == nil {
		labels.Labels = map[string]string{}
	}
	old, set := labels.Labels[name]
	switch {
	case old == value:
		return answer(labels, nil)
	case !set && len(labels.Labels) >= state.MaxLabels:
		return "", provenance.Errorf(provenance.Conflict, "%s/%s has %d labels already", h, repo, state.MaxLabels)
	case value == "":
		delete(labels.Labels, name)
	default:
		labels.Labels[name] = value
	}
	labels.Act = tx.act()
	return answer(labels, tx.put(state.LabelsKey(h, repo), labels))
}

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
