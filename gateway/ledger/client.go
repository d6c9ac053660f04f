package ledger

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/secretfile"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// Config says as whom, and through which peer, the ledger is spoken to.
type Config struct {
	MSPID    string
	CertFile string // PEM; the person or robot that signs
	KeyFile  string // PEM, PKCS #8 or SEC 1; refused when others may read it
	// Key is the key itself, where whoever calls had to open its file.
	Key           crypto.PrivateKey
	PeerAddress   string // host:port of the organisation's own peer
	PeerTLSCAFile string // PEM
	Channel       string
	Chaincode     string
	// Deadlines of single calls; zero means the default. The client library has none of its own.
	Endorse  time.Duration // 15s
	Submit   time.Duration // 15s
	Commit   time.Duration // 30s: longest wait for a commit status
	Evaluate time.Duration // 10s
	Log      *slog.Logger
}

// maxMessage is the largest message taken from a peer; a block is at most
// about 10 MiB by the channel's configuration.
const maxMessage = 64 << 20

// Client speaks to one peer as one identity. Its methods may be called from
// many goroutines: one connection carries them all.
type Client struct {
	config   Config
	log      *slog.Logger
	conn     *grpc.ClientConn
	gateway  *client.Gateway
	network  *client.Network
	contract *client.Contract
	sign     identity.Sign
	creator  []byte
	retry    retry
}

// Dial prepares a client. It reads the files but does not wait for the peer:
// a gateway must start while its peer is down. Errors are WB_INVALID for files
// or options that do not fit.
func Dial(config Config) (*Client, error) {
	config = config.withDefaults()
	id, creator, err := readIdentity(config.MSPID, config.CertFile)
	if err != nil {
		return nil, err
	}
	sign, err := config.signer()
	if err != nil {
		return nil, err
	}
	roots, err := os.ReadFile(config.PeerTLSCAFile)
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "peer TLS CA")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots) {
		return nil, provenance.Errorf(provenance.Invalid, "peer TLS CA %s: no certificate in it", config.PeerTLSCAFile)
	}
	conn, err := grpc.NewClient(config.PeerAddress,
		grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(pool, "")),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		// The default backs off for up to two minutes: a peer that came back would stay unused that long.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		// A peer that vanished without a word is noticed; Fabric allows a ping a minute.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 65 * time.Second, Timeout: 20 * time.Second}),
	)
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "peer %s", config.PeerAddress)
	}
	c, err := newClient(config, conn, id, sign)
	if err != nil {
		_ = conn.Close() // the first error says more
		return nil, err
	}
	c.conn, c.creator = conn, creator
	return c, nil
}

// newClient works over any connection, so that tests need no peer.
func newClient(config Config, conn grpc.ClientConnInterface, id identity.Identity, sign identity.Sign) (*Client, error) {
	gw, err := client.Connect(id, client.WithSign(sign), client.WithHash(hash.SHA256), client.WithClientConnection(conn))
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "fabric gateway")
	}
	creator, err := serialise(id)
	if err != nil {
		return nil, err
	}
	network := gw.GetNetwork(config.Channel)
	return &Client{
		config: config, log: config.Log, gateway: gw, network: network, contract: network.GetContract(config.Chaincode),
		sign: sign, creator: creator, retry: retry{attempts: 8, base: 100 * time.Millisecond, max: 2 * time.Second},
	}, nil
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&c.Endorse, 15 * time.Second}, {&c.Submit, 15 * time.Second}, {&c.Commit, 30 * time.Second}, {&c.Evaluate, 10 * time.Second}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Close ends the connection and every call on it.
func (c *Client) Close() error {
	err := c.gateway.Close()
	if c.conn != nil {
		if cerr := c.conn.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "close ledger client")
	}
	return nil
}

func readIdentity(mspID, path string) (*identity.X509Identity, []byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, provenance.Wrap(provenance.Invalid, err, "certificate")
	}
	cert, err := identity.CertificateFromPEM(text)
	if err != nil {
		return nil, nil, provenance.Wrap(provenance.Invalid, err, "certificate %s", path)
	}
	id, err := identity.NewX509Identity(mspID, cert)
	if err != nil {
		return nil, nil, provenance.Wrap(provenance.Invalid, err, "certificate %s", path)
	}
	creator, err := serialise(id)
	return id, creator, err
}

func (c Config) signer() (identity.Sign, error) {
	if c.Key == nil {
		return readSigner(c.KeyFile)
	}
	sign, err := identity.NewPrivateKeySign(c.Key)
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "private key")
	}
	return sign, nil
}

func readSigner(path string) (identity.Sign, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "private key")
	}
	if secretfile.Exposed(info) {
		return nil, provenance.Errorf(provenance.Invalid, "private key %s: mode %04o lets others read it; want 0600", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "private key")
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "private key %s", path)
	}
	sign, err := identity.NewPrivateKeySign(key)
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "private key %s", path)
	}
	return sign, nil
}

// parseKey reads the two forms that Fabric's tools write.
func parseKey(text []byte) (crypto.PrivateKey, error) {
	if block, _ := pem.Decode(text); block != nil && block.Type == "EC PRIVATE KEY" {
		return x509.ParseECPrivateKey(block.Bytes)
	}
	return identity.PrivateKeyFromPEM(text)
}
