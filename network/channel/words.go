package channel

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer/smartbft"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// errUnknown says that bytes are not what this program knows how to say in words.
var errUnknown = errors.New("not understood")

// exact decodes bytes that are nothing but the message: written anew they are the same, so that no unknown or
// repeated field hides in them.
func exact(raw []byte, into proto.Message) error {
	if err := proto.Unmarshal(raw, into); err != nil {
		return errUnknown
	}
	if !bytes.Equal(marshal(into), raw) || unknown(into.ProtoReflect()) {
		return errUnknown
	}
	return nil
}

// unknown says whether a message has fields, at any depth, that are in no definition of it.
func unknown(m protoreflect.Message) bool {
	found := len(m.GetUnknown()) > 0
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			if f.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					found = found || unknown(v.Message())
					return !found
				})
			}
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				found = found || unknown(v.List().Get(i).Message())
			}
		default:
			found = found || unknown(v.Message())
		}
		return !found
	})
	return found
}

// valueWords says what a value of the configuration is, e.g. "500 transactions, …". What it cannot say
// is errUnknown.
func valueWords(key string, raw []byte) (string, error) {
	switch key {
	case hashingKey:
		return read(raw, &common.HashingAlgorithm{}, func(m *common.HashingAlgorithm) (string, error) { return plain(m.GetName()) })
	case structureKey:
		return read(raw, &common.BlockDataHashingStructure{}, func(m *common.BlockDataHashingStructure) (string, error) {
			return fmt.Sprintf("width %d", m.GetWidth()), nil
		})
	case capabilitiesKey:
		return read(raw, &common.Capabilities{}, func(m *common.Capabilities) (string, error) {
			return plain(strings.Join(names(m.GetCapabilities()), ", "))
		})
	case batchSizeKey:
		return read(raw, &orderer.BatchSize{}, func(m *orderer.BatchSize) (string, error) {
			return fmt.Sprintf("at most %d transactions and %d bytes in a block, %d bytes if possible", m.GetMaxMessageCount(), m.GetAbsoluteMaxBytes(), m.GetPreferredMaxBytes()), nil
		})
	case batchTimeoutKey:
		return read(raw, &orderer.BatchTimeout{}, func(m *orderer.BatchTimeout) (string, error) { return plain(m.GetTimeout()) })
	case restrictionsKey:
		return read(raw, &orderer.ChannelRestrictions{}, func(m *orderer.ChannelRestrictions) (string, error) {
			if m.GetMaxCount() == 0 {
				return "none", nil
			}
			return fmt.Sprintf("%d channels", m.GetMaxCount()), nil
		})
	case consensusTypeKey:
		return read(raw, &orderer.ConsensusType{}, consensusWords)
	case orderersKey:
		return read(raw, &common.Orderers{}, consenterWords)
	case endpointsKey:
		return read(raw, &common.OrdererAddresses{}, func(m *common.OrdererAddresses) (string, error) {
			return plain(strings.Join(m.GetAddresses(), ", "))
		})
	case anchorPeersKey:
		return read(raw, &peer.AnchorPeers{}, func(m *peer.AnchorPeers) (string, error) {
			var all []string
			for _, p := range m.GetAnchorPeers() {
				all = append(all, Endpoint{p.GetHost(), int(p.GetPort())}.String())
			}
			return plain(strings.Join(all, ", "))
		})
	case mspKey:
		return read(raw, &msp.MSPConfig{}, mspWords)
	}
	return "", errUnknown
}

func read[M proto.Message](raw []byte, m M, words func(M) (string, error)) (string, error) {
	if err := exact(raw, m); err != nil {
		return "", err
	}
	return words(m)
}

// plain lets through what can be shown: no controls, no writing that turns a line around.
func plain(s string) (string, error) {
	for _, r := range s {
		if r < ' ' || r > '~' {
			return "", errUnknown
		}
	}
	return s, nil
}

func consensusWords(m *orderer.ConsensusType) (string, error) {
	options := &smartbft.Options{}
	if m.GetType() != "BFT" || exact(m.GetMetadata(), options) != nil {
		return "", errUnknown
	}
	if m.GetState() != orderer.ConsensusType_STATE_NORMAL {
		return "", errUnknown
	}
	var all []string
	fields := options.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		all = append(all, fmt.Sprintf("%s %v", fields.Get(i).Name(), options.ProtoReflect().Get(fields.Get(i))))
	}
	text, err := plain(strings.Join(all, ", "))
	return "BFT (SmartBFT): " + text, err
}

func consenterWords(m *common.Orderers) (string, error) {
	n := len(m.GetConsenterMapping())
	all := []string{fmt.Sprintf("%d consenters, of which %d must sign a block and %d may lie or be gone", n, Quorum(n), Tolerance(n))}
	for _, c := range m.GetConsenterMapping() {
		words, err := oneConsenter(c)
		if err != nil {
			return "", err
		}
		all = append(all, words)
	}
	return strings.Join(all, "\n"), nil
}

func oneConsenter(c *common.Consenter) (string, error) {
	parts := []string{fmt.Sprintf("%d: %s of %s", c.GetId(), Endpoint{c.GetHost(), int(c.GetPort())}, c.GetMspId())}
	for _, x := range []struct {
		name string
		pem  []byte
	}{{"identity", c.GetIdentity()}, {"client", c.GetClientTlsCert()}, {"server", c.GetServerTlsCert()}} {
		cert, err := certificateWords(string(x.pem))
		if err != nil {
			return "", err
		}
		parts = append(parts, x.name+" "+cert)
	}
	return plain(strings.Join(parts, "; "))
}

func certificateWords(text string) (string, error) {
	cert, err := parseCertificate(text)
	if err != nil {
		return "", errUnknown
	}
	sum := sha256.Sum256(cert.Raw)
	return plain(fmt.Sprintf("%q (sha256 %s, until %s)", cert.Subject.String(), hex.EncodeToString(sum[:8]), cert.NotAfter.UTC().Format(time.DateOnly)))
}

// mspWords says whom an organisation vouches for, if it does so as descriptors say and in no other way, such
// as by a list of admins' certificates.
func mspWords(m *msp.MSPConfig) (string, error) {
	config := &msp.FabricMSPConfig{}
	if m.GetType() != 0 || exact(m.GetConfig(), config) != nil {
		return "", errUnknown
	}
	same := mspConfig(Descriptor{
		MSPID: config.GetName(), Roots: stringsOf(config.GetRootCerts()), Intermediates: stringsOf(config.GetIntermediateCerts()),
		TLSRoots: stringsOf(config.GetTlsRootCerts()), TLSIntermediates: stringsOf(config.GetTlsIntermediateCerts()),
		RevocationLists: stringsOf(config.GetRevocationList()),
	})
	if !bytes.Equal(same.GetConfig(), m.GetConfig()) {
		return "", errUnknown
	}
	all := []string{config.GetName() + ", roles by organisational unit"}
	for _, list := range []struct {
		name  string
		certs [][]byte
	}{
		{"root", config.GetRootCerts()},
		{"intermediate", config.GetIntermediateCerts()},
		{"TLS root", config.GetTlsRootCerts()},
		{"TLS intermediate", config.GetTlsIntermediateCerts()},
	} {
		for _, raw := range list.certs {
			words, err := certificateWords(string(raw))
			if err != nil {
				return "", err
			}
			all = append(all, list.name+" "+words)
		}
	}
	for _, raw := range config.GetRevocationList() {
		words, err := revocationWords(string(raw))
		if err != nil {
			return "", err
		}
		all = append(all, words)
	}
	if _, err := plain(config.GetName()); err != nil {
		return "", err
	}
	return strings.Join(all, "\n"), nil
}

func revocationWords(text string) (string, error) {
	der, err := decodePEM("X509 CRL", text)
	if err != nil {
		return "", errUnknown
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return "", errUnknown
	}
	sum := sha256.Sum256(der)
	words := fmt.Sprintf("revocation list of %q: %d certificates (sha256 %s)", list.Issuer.String(), len(list.RevokedCertificateEntries), hex.EncodeToString(sum[:8]))
	for _, e := range list.RevokedCertificateEntries {
		words += fmt.Sprintf("\nrevoked %x", e.SerialNumber)
	}
	return words, nil
}

func stringsOf(list [][]byte) []string {
	var out []string
	for _, raw := range list {
		out = append(out, string(raw))
	}
	return out
}
