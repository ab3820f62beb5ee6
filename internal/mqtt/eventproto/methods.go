package eventproto

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// Methods are events and requests.
type Methods []*Method

// OpenMethods returns the methods of [Open].
func OpenMethods(files *protoregistry.Files) (Methods, error) {
	services, err := Open(files)
	var all Methods
	for _, s := range services {
		all = append(all, s.Methods...)
	}
	return all, err
}

// Named returns the method of an operation: /pkg.Service/Method, or an end of it that only one
// method has, such as Service/Method or Method.
func (m Methods) Named(operation string) (*Method, error) {
	var found Methods
	for _, method := range m {
		if method.Operation == operation {
			return method, nil
		}
		if strings.HasSuffix(method.Operation, "/"+operation) || strings.HasSuffix(method.Operation, "."+operation) {
			found = append(found, method)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fmt.Errorf("operation %q is not declared, want one of: %s", operation, m.names())
	}
	return nil, fmt.Errorf("operation %q is ambiguous, want one of: %s", operation, found.names())
}

// Of returns the methods whose filters match a topic.
func (m Methods) Of(name string) (found Methods) {
	for _, method := range m {
		for _, filter := range method.Filters {
			if topic.Match(filter, name) {
				found = append(found, method)
				break
			}
		}
	}
	return found
}

func (m Methods) names() string {
	names := make([]string, len(m))
	for i, method := range m {
		names[i] = method.Operation
	}
	return strings.Join(names, ", ")
}
