package explain

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/configfile"
)

// Configuration reads the section for subscriptions out of the configuration of a service. The
// other sections are the service's own and are not read, so that neither their form nor their
// secrets matter. section is its key, such as server.mqtt; "" finds it by its keys. It returns
// nil if the file has none.
func Configuration(path, section string) (_ *v1.Subscriber, place string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	if len(document.Content) == 0 {
		return nil, "", nil
	}
	wanted := isSubscriber
	if section != "" {
		wanted = func(p part) bool { return p.key == section }
	}
	found := outermost(part{node: document.Content[0]}, wanted)
	switch len(found) {
	case 0:
		if section != "" {
			return nil, "", fmt.Errorf("%s has no section %s", path, section)
		}
		return nil, "", nil
	case 1:
	default:
		keys := make([]string, len(found))
		for i, s := range found {
			keys[i] = s.key
		}
		return nil, "", fmt.Errorf("%s has several sections for subscriptions, %s: want --section with one of them", path, strings.Join(keys, " and "))
	}
	own, err := yaml.Marshal(found[0].node)
	if err != nil {
		return nil, "", err
	}
	c := new(v1.Subscriber)
	if err := configfile.Parse(filepath.Base(path)+" "+found[0].key, own, c, os.LookupEnv); err != nil {
		if _, ok := errors.AsType[configfile.FileErrors](err); ok {
			return nil, "", fmt.Errorf("%w (lines are counted from the beginning of the section)", err)
		}
		return nil, "", err
	}
	return c, filepath.Base(path) + " " + found[0].key, nil
}

// part is a section of a file.
type part struct {
	key  string
	node *yaml.Node
}

// outermost returns the outermost sections that are wanted.
func outermost(p part, wanted func(part) bool) (found []part) {
	switch {
	case p.node.Kind != yaml.MappingNode:
		return nil
	case wanted(p):
		return []part{p}
	}
	for i := 0; i+1 < len(p.node.Content); i += 2 {
		inner := part{strings.TrimPrefix(p.key+"."+p.node.Content[i].Value, "."), p.node.Content[i+1]}
		found = append(found, outermost(inner, wanted)...)
	}
	return found
}

// isSubscriber reports whether a section has keys of a Subscriber only, and at least one that no
// other section of kratosmqtt.v1 has.
func isSubscriber(p part) bool {
	own, n := false, p.node
	fields, publisher := new(v1.Subscriber).ProtoReflect().Descriptor().Fields(), new(v1.Publisher).ProtoReflect().Descriptor().Fields()
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		field := fields.ByTextName(name)
		if field == nil {
			field = fields.ByJSONName(name)
		}
		if field == nil {
			return false
		}
		own = own || publisher.ByName(field.Name()) == nil
	}
	return own
}
