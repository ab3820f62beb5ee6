package biz

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-kratos/kratos/v2/errors"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
)

// maxName bounds every identifier and name, in bytes.
const maxName = 128

// violations maps the name of a field to what is wrong with it.
type violations map[string]string

func (v violations) requireName(field, value string) {
	if value == "" {
		v[field] = "required"
		return
	}
	v.limit(field, value, maxName)
}

func (v violations) limit(field, value string, limit int) {
	if len(value) > limit {
		v[field] = fmt.Sprintf("%d bytes, at most %d allowed", len(value), limit)
	}
}

// texts checks that values, keyed by field, can be stored in every database: they
// must be UTF-8, which protobuf strings require too, and must not contain NUL, which
// PostgreSQL cannot store.
func (v violations) texts(values map[string]string) {
	for field, value := range values {
		switch {
		case !utf8.ValidString(value):
			v[field] = "not UTF-8"
		case strings.ContainsRune(value, 0):
			v[field] = "contains the character NUL"
		}
	}
}

// moment checks that a time can be shown by RFC 3339, by a protobuf timestamp and
// in a list: its year in UTC must be 1 to 9999.
func (v violations) moment(field string, t time.Time) {
	if year := t.UTC().Year(); year < 1 || year > 9999 {
		v[field] = "not within the years 1 to 9999 in UTC"
	}
}

// err returns nil if there are no violations, otherwise a Kratos 400 that lists all
// of them in its message and, by field, in its metadata.
func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	parts := make([]string, 0, len(v))
	for _, field := range slices.Sorted(maps.Keys(v)) {
		parts = append(parts, field+": "+v[field])
	}
	return errors.BadRequest(reportv1.ErrorReason_VALIDATION_FAILED.String(), strings.Join(parts, "; ")).
		WithMetadata(v)
}
