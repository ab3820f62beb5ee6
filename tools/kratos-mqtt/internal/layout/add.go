package layout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/makesource"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/scaffold"
)

// Import paths of what edits refer to.
const (
	settingsPackage = scaffold.OwnModule + "/api/kratosmqtt/v1"
	serverPackage   = "/transport/mqtt" // below the front
	plugin          = scaffold.OwnModule + "/tools/protoc-gen-go-mqtt"
)

// section is the new part of the configuration; %[1]s is the name of the service.
const section = `mqtt:
  connection:
    addresses: ["mqtt://127.0.0.1:1883"]
    # Only one process may use a client id at a time: give each replica its own.
    client_id: %[1]s
  # With an outbox, events that are published while the broker is down wait in a file:
  # outbox: {driver: file, path: /var/lib/%[1]s/outbox.db}
`

// Add adds MQTT with an event: nothing is written before Apply. In a project that has it, nothing
// changes.
func (p *Project) Add(ctx context.Context, e scaffold.Event, step Step) error {
	there, err := p.there()
	if err != nil || there {
		return err
	}
	if err := p.recognise(); err != nil {
		return err
	}
	p.lookAround(ctx)
	library, err := p.service.Library(ctx)
	if err != nil {
		return err
	}
	r, err := p.plan(ctx, e, library)
	if err != nil {
		return err
	}
	if err := p.tried(ctx, r, trial{library: library, required: true, step: step}); err != nil {
		return err
	}
	return r.seal(p, nil)
}

// there reports whether the project has MQTT already. A server of the same name that is not ours is an
// error.
func (p *Project) there() (bool, error) {
	if p.record != nil {
		return true, nil
	}
	file, f, err := p.declaring(serverLayer, "NewMQTTServer")
	if err != nil { // recognise returns what else it may be
		return false, nil //nolint:nilerr // as said
	}
	for _, front := range []string{scaffold.OwnModule, scaffold.OwnModule + scaffold.FrontV3} {
		if f.Imports(front + serverPackage) {
			p.notes = append(p.notes, file+" has NewMQTTServer already")
			return true, nil
		}
	}
	return false, fmt.Errorf("%w is there already, and is not one of this module", f.Place("NewMQTTServer"))
}

// plan makes all changes but those of the tools that run in a copy.
func (p *Project) plan(ctx context.Context, e scaffold.Event, library *scaffold.Library) (*record, error) {
	r := newRecord(p.service)
	if err := p.addFiles(r, e, library); err != nil {
		return nil, err
	}
	if err := p.edit(r, append(p.edits(), p.eventEdits(e)...)); err != nil {
		return nil, err
	}
	p.makefile(r)
	text, err := p.Original(p.conf)
	if err != nil {
		return nil, err
	}
	r.Conf = checksum(text)
	if err := p.generate(ctx, r); err != nil {
		return nil, err
	}
	return r, p.Writable()
}

// tried tries the changes in a copy, and takes over what tools wrote there.
func (p *Project) tried(ctx context.Context, r *record, t trial) error {
	made, err := p.try(ctx, t)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(made)) {
		if err := r.keep(p, name); err != nil {
			return err
		}
		if err := p.Write(name, made[name]); err != nil {
			return err
		}
	}
	r.GoMod, r.GoSum = string(made["go.mod"]), checksum(made["go.sum"])
	return nil
}

// addFiles adds the files of the first event, and those that .proto files import.
func (p *Project) addFiles(r *record, e scaffold.Event, library *scaffold.Library) error {
	files, err := p.service.Added(e, "", true)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if p.exists(name) {
			errs = append(errs, fmt.Errorf("%s exists, and add would write it: want a project without it", name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w; --event names another event than %s", err, e.Name)
	}
	for name, text := range library.Protos {
		if !p.exists(name) {
			files[name] = text
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		r.create(name)
		if err := p.write(name, files[name]); err != nil {
			return err
		}
	}
	return nil
}

// edits are those for the connection and the server.
func (p *Project) edits() []edit {
	front := scaffold.OwnModule
	if p.service.Kratos == scaffold.KratosV3 {
		front += scaffold.FrontV3
	}
	settings := p.nameOf(p.injector.file, settingsPackage, "kratosmqttv1")
	server := p.nameOf(p.app.file, front+serverPackage, "mqttserver")
	return []edit{
		{Kind: protoImport, File: p.conf, Text: "kratosmqtt/v1/config.proto"},
		{Kind: protoField, File: p.conf, In: "Bootstrap", Call: "kratosmqtt.v1.Settings", Name: "mqtt"},
		{Kind: yamlSection, File: p.config, Name: "mqtt", Text: fmt.Sprintf(section, p.service.Name)},
		p.provide(dataLayer, "NewMQTTStores"), p.provide(dataLayer, "NewMQTTBroker"), p.provide(dataLayer, "NewMQTTClientConn"),
		p.provide(serverLayer, "NewMQTTServer"),
		{Kind: goImport, File: p.injector.file, Name: settings, Text: settingsPackage},
		{Kind: goParameter, File: p.injector.file, In: p.injector.function, Name: "mqtt", Call: "*" + settings + ".Settings", At: p.injectorAt},
		{Kind: goArgument, File: p.call.file, In: p.call.function, Call: p.injector.function, Text: p.bootstrap, At: p.injectorAt},
		{Kind: goImport, File: p.app.file, Name: server, Text: front + serverPackage},
		{Kind: goParameter, File: p.app.file, In: p.app.function, Name: "ms", Call: "*" + server + ".Server", At: last},
		{Kind: goArgument, File: p.app.file, In: p.app.function, Call: p.kratosName + ".Server", Text: "ms", At: last},
		{Kind: goArgument, File: p.app.file, In: p.app.function, Call: p.kratosName + ".New", Text: p.kratosName + ".BeforeStart(ms.Start)", At: last},
	}
}

// last is the index of what is added at the end.
const last = -1

// eventEdits are those for an event.
func (p *Project) eventEdits(e scaffold.Event) []edit {
	return []edit{
		p.provide(bizLayer, "New"+e.Go+"Usecase"),
		p.provide(dataLayer, "New"+e.Go+"Publisher"), p.provide(dataLayer, "New"+e.Go+"Repo"),
		p.provide(serviceLayer, "New"+e.Go+"Service"),
	}
}

// provide is an edit of a provider set.
func (p *Project) provide(layer, constructor string) edit {
	file, _, err := p.declaring(layer, providerSet)
	if err != nil { // the edit has it, too
		file = layer + "/providers.go"
	}
	return edit{Kind: goArgument, File: file, In: providerSet, Call: newSet, Text: constructor, At: last}
}

// nameOf returns the name that a file uses for a package, or the one for an import of it.
func (p *Project) nameOf(file, path, name string) string {
	if f, err := p.parse(file); err == nil {
		if known, ok := f.Name(path); ok {
			return known
		}
	}
	return name
}

// edit makes edits, and keeps those that changed something in the record. All errors are returned.
func (p *Project) edit(r *record, edits []edit) error {
	errs := make([]error, 0, len(edits))
	for _, e := range edits {
		changed, err := p.apply(&e)
		errs = append(errs, err)
		if changed && !r.created(e.File) {
			r.Edits = append(r.Edits, e)
		}
	}
	return errors.Join(errs...)
}

// makefile adds the plugin to the rules of kratos-layout. A project without them generates in another
// way, which a note tells about.
func (p *Project) makefile(r *record) {
	edits := []edit{
		{Kind: makeLine, File: "Makefile", In: "init", Call: "go install ", Text: "go install " + plugin},
		{Kind: makeLine, File: "Makefile", In: "api", Call: "--go_out=", Text: "--go-mqtt_out=paths=source_relative:./api"},
	}
	text, err := p.read("Makefile")
	for _, e := range edits {
		if err == nil {
			_, err = makesource.After(e.File, text, e.In, e.Call, e.Text)
		}
	}
	if err == nil {
		err = p.edit(r, edits)
	}
	if err != nil {
		p.notes = append(p.notes, fmt.Sprintf("the Makefile stays as it is (%v): where protoc runs, install %s and add %s", err, plugin, edits[1].Text))
		return
	}
	p.notes = append(p.notes, "before the next make api, run go install tool: the Makefile has the plugin protoc-gen-go-mqtt now")
}
