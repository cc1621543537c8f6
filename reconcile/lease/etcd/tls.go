//go:build !aix

package etcd

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Certificates are valid for ever: who may speak is decided by the cluster's key,
// and a host whose clock is wrong must still reach its peers. The last date is
// the one RFC 5280, 4.1.2.5 reserves for "no well-defined expiration date".
var (
	notBefore = time.Unix(0, 0).UTC()
	notAfter  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// authority is the certificate authority of a cluster. It follows from the
// shared key alone (HKDF-SHA256, RFC 5869), so that every machine derives the
// same one and none has to be handed out; Ed25519 signatures are deterministic
// (RFC 8032), and so is the certificate.
type authority struct {
	key  ed25519.PrivateKey
	cert *x509.Certificate
}

// keyLength is the least length of the shared key in bytes.
const keyLength = 32

func newAuthority(key []byte, cluster string) (*authority, error) {
	if len(key) < keyLength {
		return nil, fmt.Errorf("cannot derive the cluster's certificates: the key has %d bytes, not %d — make one with prepare", len(key), keyLength)
	}
	seed, err := hkdf.Key(sha256.New, key, nil, "understudy store authority 1\x00"+cluster, ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	private := ed25519.NewKeyFromSeed(seed)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "understudy " + cluster},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(nil, template, template, private.Public(), private)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{private, cert}, nil
}

// files are the PEM files of one machine.
type files struct{ ca, cert, key string }

// authorities are those of the cluster's keys, in their order.
func authorities(keys [][]byte, cluster string) ([]*authority, error) {
	if len(keys) == 0 {
		return nil, errors.New("cannot derive the cluster's certificates: there is no key")
	}
	var out []*authority
	for _, key := range keys {
		a, err := newAuthority(key, cluster)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// issue writes a new key and certificate for a machine into dir, mode 0600. The
// first authority vouches for it; all are written down as believed.
func issue(all []*authority, dir, name string, addresses []net.IP) (files, error) {
	a := all[0]
	var believed []byte
	for _, b := range all {
		believed = append(believed, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.cert.Raw})...)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return files{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return files{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    notBefore,
		NotAfter:     notAfter,
		DNSNames:     []string{name},
		IPAddresses:  addresses,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, public, a.key)
	if err != nil {
		return files{}, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return files{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return files{}, err
	}
	f := files{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	for _, p := range []struct {
		path string
		text []byte
	}{
		{f.ca, believed},
		{f.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})},
		{f.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})},
	} {
		if err := replace(p.path, p.text); err != nil {
			return files{}, err
		}
	}
	return f, nil
}

// replace writes a file that only its owner may read, whole or not at all.
func replace(path string, data []byte) error {
	if err := os.Remove(path + ".new"); err != nil && !os.IsNotExist(err) {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
