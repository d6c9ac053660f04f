package org

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"github.com/waybill-dev/waybill/network/disk"
)

// Upgrade runs another version of the chaincode beside the one in force, puts its package on the
// peer and approves it, in as many steps as it takes: each is done once. When the version is in
// force, the former ends.
func (f *Folder) Upgrade(ctx context.Context, version, program string) error {
	if err := f.prepareUpgrade(ctx, version, program); err != nil {
		return err
	}
	if err := f.startNext(ctx); err != nil {
		return err
	}
	if err := f.install(ctx, f.proposed()); err != nil {
		return err
	}
	if err := f.Approve(ctx); err != nil {
		return err
	}
	return f.Settle(ctx)
}

// prepareUpgrade writes down what is upgraded to, and what is needed for it.
func (f *Folder) prepareUpgrade(ctx context.Context, version, program string) error {
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if f.spec.Elsewhere { // and so does the process of the next version, at an address that this host does not know
		return ErrElsewhere
	}
	if err := match("chaincode version", version, versionName); err != nil {
		return err
	}
	if program, err = filepath.Abs(program); err != nil {
		return err
	}
	if have, err := disk.Exists(program); err != nil || !have {
		return errors.Join(err, fmt.Errorf("there is no program %s", program))
	}
	switch {
	case f.spec.Contract.Version == version:
		f.spec.Contract.Program = program
		return f.save()
	case f.spec.Next != nil && f.spec.Next.Version != version:
		return fmt.Errorf("an upgrade to version %s is under way", f.spec.Next.Version)
	case f.spec.Next != nil:
		f.spec.Next.Program = program
		return f.save()
	}
	pkg, id, err := Package(f.spec.Chaincode, version)
	if err != nil {
		return err
	}
	next := Contract{Version: version, PackageID: id, Program: program}
	if next.Listen, err = f.freeBeside(); err != nil {
		return err
	}
	if err := disk.Write(f.packagePath(next), pkg, 0o644); err != nil {
		return err
	}
	f.spec.Next = &next
	if err := f.save(); err != nil {
		return err
	}
	return f.makeBuilder() // which tells the peer where each version is
}

// freeBeside returns a free address on the host where the chaincode listens.
func (f *Folder) freeBeside() (string, error) {
	host, _, err := splitAddress(f.spec.Listen.Chaincode)
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// startNext starts what is stopped, unless a supervisor is there to do it.
func (f *Folder) startNext(ctx context.Context) error {
	if supervised, err := f.supervised(); err != nil || supervised {
		return err
	}
	return f.Start(ctx)
}

func (f *Folder) supervised() (bool, error) {
	p, err := readProcess(f.pidPath(supervisorName))
	return err == nil && p.alive(), err
}

// Settle ends the former version once the other is in force, and does nothing before.
func (f *Folder) Settle(ctx context.Context) error {
	if f.spec.Next == nil {
		return nil
	}
	s, err := f.chaincodeStatusAs(ctx, robot)
	if err != nil || !s.InForce() {
		return err
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if f.spec.Next == nil {
		return nil
	}
	former := f.contractNode(f.spec.Contract)
	f.spec.Contract, f.spec.Next = *f.spec.Next, nil
	if err := f.save(); err != nil {
		return err
	}
	// A supervisor sees by itself that it is the folder's no more.
	if supervised, err := f.supervised(); err != nil || supervised || f.spec.Elsewhere {
		return err
	}
	return f.stopNode(ctx, former.Name, stopGrace)
}
