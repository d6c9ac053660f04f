package ledger

import (
	"context"
	"crypto/x509"
	"net"
	"os"

	"google.golang.org/grpc/credentials"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// freshRoots reads the authorities for each connection anew: while an organisation replaces its authority, its peer's
// next certificate is below another than its last.
type freshRoots struct {
	credentials.TransportCredentials
	file string
}

// ClientHandshake implements credentials.TransportCredentials.
func (f freshRoots) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	roots, err := readRoots(f.file)
	if err != nil {
		return nil, nil, err
	}
	return credentials.NewClientTLSFromCert(roots, "").ClientHandshake(ctx, authority, conn)
}

// Clone implements credentials.TransportCredentials.
func (f freshRoots) Clone() credentials.TransportCredentials {
	return freshRoots{f.TransportCredentials.Clone(), f.file}
}

func readRoots(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "peer TLS CA")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, provenance.Errorf(provenance.Invalid, "peer TLS CA %s: no certificate in it", file)
	}
	return pool, nil
}
