package channel

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Signer signs for an organisation with one person's key.
type Signer struct {
	MSPID string
	Cert  *x509.Certificate
	Key   crypto.Signer
}

func (s Signer) creator() []byte {
	return marshal(&msp.SerializedIdentity{Mspid: s.MSPID, IdBytes: []byte(encodePEM("CERTIFICATE", s.Cert.Raw))})
}

func (s Signer) header() ([]byte, error) {
	nonce := make([]byte, 24)
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return marshal(&common.SignatureHeader{Creator: s.creator(), Nonce: nonce}), nil
}

// sign signs as Fabric wants it: of the two forms of an ECDSA signature the one with the lower S.
func (s Signer) sign(message []byte) ([]byte, error) {
	key, ok := s.Key.Public().(*ecdsa.PublicKey)
	if !ok {
		return s.Key.Sign(rand.Reader, message, crypto.Hash(0))
	}
	sum := sha256.Sum256(message)
	der, err := s.Key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return nil, err
	}
	if n := key.Params().N; sig.S.Cmp(new(big.Int).Rsh(n, 1)) > 0 {
		sig.S.Sub(n, sig.S)
	}
	return asn1.Marshal(sig)
}

// SignUpdate signs the exact bytes of a configuration update.
func (s Signer) SignUpdate(update []byte) (*common.ConfigSignature, error) {
	header, err := s.header()
	if err != nil {
		return nil, fmt.Errorf("sign update: %w", err)
	}
	sig, err := s.sign(slices.Concat(header, update))
	if err != nil {
		return nil, fmt.Errorf("sign update: %w", err)
	}
	return &common.ConfigSignature{SignatureHeader: header, Signature: sig}, nil
}

// signed is whose signature counts for what.
type signed struct {
	mspID string
	cert  *x509.Certificate
	pool  pool
	roles []string
}

// readSignature verifies a signature on an update, made by somebody of an organisation of the channel.
func readSignature(config *common.Config, update []byte, s *common.ConfigSignature, at time.Time) (signed, error) {
	header, id := &common.SignatureHeader{}, &msp.SerializedIdentity{}
	if proto.Unmarshal(s.GetSignatureHeader(), header) != nil || proto.Unmarshal(header.GetCreator(), id) != nil {
		return signed{}, errors.New("the signature says not whose it is")
	}
	cert, err := parseCertificate(string(id.GetIdBytes()))
	if err != nil {
		return signed{}, fmt.Errorf("signer: %w", err)
	}
	out := signed{mspID: id.GetMspid(), cert: cert}
	if out.pool, err = poolOf(config, out.mspID); err != nil {
		return signed{}, err
	}
	if _, err := out.pool.issuer(cert, out.pool.usage, at); err != nil {
		return signed{}, fmt.Errorf("signer of %s: %w", out.mspID, err)
	}
	for _, unit := range cert.Subject.OrganizationalUnit {
		if isRole(unit) {
			out.roles = append(out.roles, unit)
		}
	}
	message := slices.Concat(s.GetSignatureHeader(), update)
	ok := false
	switch key := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(message)
		ok = ecdsa.VerifyASN1(key, sum[:], s.GetSignature())
	case ed25519.PublicKey:
		ok = ed25519.Verify(key, message, s.GetSignature())
	}
	if !ok {
		return signed{}, fmt.Errorf("signature of %s: not made over this update", out.mspID)
	}
	return out, nil
}

// poolOf reads an organisation's authorities as the channel has them now.
func poolOf(config *common.Config, mspID string) (pool, error) {
	p := pool{usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, name := range []string{applicationGroup, ordererGroup} {
		org := config.GetChannelGroup().GetGroups()[name].GetGroups()[mspID]
		if org == nil {
			continue
		}
		outer, m := &msp.MSPConfig{}, &msp.FabricMSPConfig{}
		if proto.Unmarshal(org.GetValues()[mspKey].GetValue(), outer) != nil || proto.Unmarshal(outer.GetConfig(), m) != nil {
			return p, fmt.Errorf("the authorities of %s: %w", mspID, errUnknown)
		}
		for _, list := range []struct {
			into *[]*x509.Certificate
			pems [][]byte
		}{{&p.roots, m.GetRootCerts()}, {&p.intermediates, m.GetIntermediateCerts()}} {
			for _, text := range list.pems {
				cert, err := parseCertificate(string(text))
				if err != nil {
					return p, fmt.Errorf("the authorities of %s: %w", mspID, err)
				}
				*list.into = append(*list.into, cert)
			}
		}
		for _, text := range m.GetRevocationList() {
			if err := p.revocation(string(text)); err != nil {
				return p, fmt.Errorf("the revocation lists of %s: %w", mspID, err)
			}
		}
		return p, nil
	}
	return p, fmt.Errorf("%s is not in the channel", mspID)
}

// Envelope puts an update and its signatures into what orderers take, signed by whoever hands it in.
func (s Signer) Envelope(name string, update []byte, signatures []*common.ConfigSignature) (*common.Envelope, error) {
	return s.wrap(name, common.HeaderType_CONFIG_UPDATE, marshal(&common.ConfigUpdateEnvelope{ConfigUpdate: update, Signatures: signatures}))
}

// wrap signs what goes to an orderer, which takes questions of now only.
func (s Signer) wrap(name string, kind common.HeaderType, data []byte) (*common.Envelope, error) {
	header, err := s.header()
	if err != nil {
		return nil, fmt.Errorf("sign envelope: %w", err)
	}
	payload := marshal(&common.Payload{
		Header: &common.Header{
			ChannelHeader:   marshal(&common.ChannelHeader{Type: int32(kind), ChannelId: name, Timestamp: timestamppb.Now()}),
			SignatureHeader: header,
		},
		Data: data,
	})
	sig, err := s.sign(payload)
	if err != nil {
		return nil, fmt.Errorf("sign envelope: %w", err)
	}
	return &common.Envelope{Payload: payload, Signature: sig}, nil
}
