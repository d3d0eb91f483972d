"""
Sandbox: where code runs.

The node's side of cells.  A cell serves one function version of one account
under one role session, for life; every byte that comes out of it is hostile.

Residue: within one cell, `/tmp`, module globals, background threads and child
processes live on from one invocation to the next, as Lambda documents; they are
frozen between invocations and die with the cell.  Nothing outlives a cell, and
no cell is handed to another function, revision or role.

    Sandbox (invoke)   one invocation from claim to result
    Pool               generic cells ahead of demand, idle cells to reuse
    Trees              unpacked packages, one per account and digest
    Cell               one cell: its life, its link, its log, its cgroup
    Warden             the verbs of the process that makes cells
"""
