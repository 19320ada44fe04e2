// Refuse programs that are attached, also inside of ZIP files, and hold documents with macros until someone has looked.
// The gateway takes the mail apart, as `include` asks it to: names come decoded, and contents up to 256 KiB come along.
//
//	go run webhook_examples/attachments.go [PORT]
package main

import (
	"archive/zip"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
)

type message struct{ Parsed parsed }
type parsed struct{ Attachments []attachment }
type attachment struct {
	Name   string
	Base64 []byte // encoding/json decodes it
}

var programs = regexp.MustCompile(`(?im)\.(bat|cmd|com|exe|hta|js|lnk|scr|vbs)[. ]*$`) // Windows drops what ends a name
var macros = regexp.MustCompile(`(?im)\.(docm|pptm|xlsm)$|/vbaProject\.bin$`)          // Office's files are ZIP files

func milter(w http.ResponseWriter, r *http.Request) {
	var call struct{ Message message }
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError) // the gateway takes it for a failure
		return
	}
	answer, names := "{}", ""
	for _, attached := range call.Message.Parsed.Attachments {
		names += attached.Name + "\n"
		archive, err := zip.NewReader(strings.NewReader(string(attached.Base64)), int64(len(attached.Base64)))
		for i := 0; err == nil && i < len(archive.File); i++ { // names can be read even where contents need a password
			names += archive.File[i].Name + "\n"
		}
	}
	if programs.MatchString(names) {
		answer = `{"action":"reject","reply":{"code":554,"enhanced":"5.7.1","text":"We take no programs, nor in ZIP files"}}`
	} else if macros.MatchString(names) {
		answer = `{"changes":[{"op":"quarantine","reason":"a document with macros"}]}`
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, answer)
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+append(os.Args, "8000")[1])
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on http://%s/milter", listener.Addr())
	log.Fatal(http.Serve(listener, http.HandlerFunc(milter)))
}
