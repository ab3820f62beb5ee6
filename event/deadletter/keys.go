package deadletter

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// Keys sign letters that are kept where others may write, with HMAC-SHA256: the
// first one signs, all verify. So a new key is put in front, and the old one stays
// behind it until no letter of it is left. Without keys nothing is signed. Keys must
// not be changed while they are in use.
type Keys [][]byte

// MinKey is the shortest key, in bytes.
const MinKey = 32

var (
	// ErrUnsigned is the error of Verify for a letter without a signature.
	ErrUnsigned = errors.New("deadletter: the letter is not signed")
	// ErrSignature is the error of Verify for a letter whose signature none of the
	// keys has made, or not for this letter.
	ErrSignature = errors.New("deadletter: the signature of the letter is not of one of the keys")
)

// Check reports every key that is too short.
func (k Keys) Check() error {
	var errs []error
	for i, key := range k {
		if len(key) < MinKey {
			errs = append(errs, fmt.Errorf("key %d has %d bytes, want at least %d", i+1, len(key), MinKey))
		}
	}
	return errors.Join(errs...)
}

// Encode is [Encode], with a signature in "dead-letter-mac" or the attribute mac
// where there are keys. It covers everything that [Decode] reads.
func (k Keys) Encode(l *Letter, properties bool) (*message.Message, error) {
	if l == nil || l.ID == "" {
		return nil, errNoID
	}
	plain := *l
	plain.MAC = ""
	m, err := Encode(&plain, properties)
	if err != nil || len(k) == 0 {
		return m, err
	}
	// What is signed is what a reader finds: a form may not keep every text as it is.
	found, err := Decode(m)
	if err != nil {
		return nil, err
	}
	plain.MAC = base64.RawURLEncoding.EncodeToString(sum(k[0], found))
	return Encode(&plain, properties)
}

// Verify returns nil for a decoded letter that one of the keys has signed, and
// [ErrUnsigned] or [ErrSignature] otherwise. It compares in constant time.
func (k Keys) Verify(l *Letter) error {
	if l.MAC == "" {
		return ErrUnsigned
	}
	mac, err := base64.RawURLEncoding.Strict().DecodeString(l.MAC)
	if err != nil {
		return ErrSignature
	}
	for _, key := range k {
		if hmac.Equal(mac, sum(key, l)) {
			return nil
		}
	}
	return ErrSignature
}

// domain keeps a signature of a letter from being one of anything else that the
// same key may sign.
const domain = "kratos-mqtt dead letter, version 1"

// sum is the signature of all that is in a letter. Each part has its length in
// front, and each list its number, so that no two letters are the same bytes.
func sum(key []byte, l *Letter) []byte {
	h := hmac.New(sha256.New, key)
	part(h, domain)
	metadata := slices.DeleteFunc(l.metadata(), func(kv [2]string) bool { return kv[0] == macName })
	count(h, len(metadata))
	for _, kv := range metadata {
		part(h, kv[0])
		part(h, kv[1])
	}
	part(h, l.ContentType)
	part(h, l.ResponseTopic)
	part(h, l.CorrelationData)
	part(h, l.Payload)
	count(h, len(l.Headers))
	for _, header := range l.Headers {
		part(h, header.Key)
		part(h, header.Value)
	}
	return h.Sum(nil)
}

func part[T string | []byte](h hash.Hash, text T) {
	count(h, len(text))
	_, _ = h.Write([]byte(text)) // never fails
}

func count(h hash.Hash, n int) {
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
}
