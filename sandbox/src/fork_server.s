# The loop of a warm interpreter, in machine code: receive a run, fork, and in the child finish the walls.
#
# Whatever an interpreter does in its own language writes to some hundred pages: counters of references lie in the
# objects. After each fork every one of them is shared with the child and has to be copied, at a microsecond or two
# each, and that was a third of what a run cost. This loop writes to its stack, and to one buffer that the interpreter
# lays out for it (`Server` in `zygote.py`, whose offsets are those below). It uses nothing but its argument and
# system calls, so it runs wherever its bytes are mapped; here it is never run. A call that fails in the child ends the
# loop there: it returns the error, with the number of the step in the buffer.
#
# A run's message, little endian, of 512 bytes at most, is written by `zygote::Start::message`:
#
# | offset | what |
# |---|---|
# | 0 | flags, for the interpreter |
# | 4 | count of targets |
# | 8 | the number that each descriptor after the first becomes, eight at most |
# | 40 | count of limits |
# | 48 | for each limit: which, soft, hard |
#
# The first descriptor is a process in the pid namespace that the child is to be in.
#
# Called as `long serve(struct Server *)`: returns 0 in a child whose walls stand, minus the error's number in one where they do
# not, 1 in the interpreter itself when it is to end.

    .pushsection .rodata.assay_fork_server, "a", @progbits
    .hidden assay_fork_server
    .globl assay_fork_server
assay_fork_server:
    push rbx
    push r12
    push r13
    push r14
    push r15
    sub rsp, 16
    mov rbx, rdi
# Waits for a run; the kernel has overwritten how much room for descriptors there is.
.Lnext:
    mov rsi, [rbx + {header}]
    mov rax, [rbx + {room}]
    mov [rsi + {header_room}], rax
    mov rdi, [rbx + {socket}]
    mov edx, {close_on_exec}
    mov eax, {recvmsg}
    syscall
    cmp rax, -{eintr}
    je .Lnext
    test rax, rax
    jle .Lover
    mov rsi, [rbx + {header}]
    cmp qword ptr [rsi + {header_room}], {control_header}
    jb .Lover
# r12 descriptors, r13 how many, r14 the error, r15 the child's number.
    mov r12, [rsi + {header_control}]
    mov r13, [r12]
    sub r13, {control_header}
    shr r13, 2
    add r12, {control_header}
    xor r14d, r14d
    mov r15, -1
# Its children are to be in the anchor's namespace, where there is one.
    cmp qword ptr [rbx + {home}], 0
    jl .Lraise
    mov edi, [r12]
    mov esi, {new_pid}
    mov eax, {setns}
    syscall
    test rax, rax
    js .Lfailed
# Out of memory, the kernel shall end the child before this process.
.Lraise:
    mov rdi, [rbx + {score}]
    test rdi, rdi
    js .Lfork
    lea rsi, [rip + .Lhighest]
    mov edx, 4
    mov eax, {write}
    syscall
.Lfork:
    mov edi, {fork_flags}
    xor esi, esi
    xor edx, edx
    mov r10, [rbx + {thread}]
    xor r8d, r8d
    mov eax, {clone}
    syscall
    test rax, rax
    jz .Lchild
    mov r15, rax
    mov rdi, [rbx + {score}]
    test rdi, rdi
    js .Lreturn
    lea rsi, [rbx + {own_score}]
    mov rdx, [rbx + {own_score_length}]
    mov eax, {write}
    syscall
.Lreturn:
    mov rdi, [rbx + {home}]
    test rdi, rdi
    js .Lforked
    mov esi, {new_pid}
    mov eax, {setns}
    syscall
    test rax, rax
    js .Lover
.Lforked:
    mov rax, r15
    test rax, rax
    jns .Lclose
.Lfailed:
    neg rax
    mov r14, rax
    mov r15, -1
.Lclose:
    test r13, r13
    jz .Lanswer
    dec r13
    mov edi, [r12 + r13 * 4]
    mov eax, {close}
    syscall
    jmp .Lclose
.Lanswer:
    mov [rsp], r15d
    mov [rsp + 4], r14d
    mov rdi, [rbx + {socket}]
    mov rsi, rsp
    mov edx, 8
    mov eax, {write}
    syscall
    jmp .Lnext
# The child: descriptors to their numbers; r13 is the message.
.Lchild:
    mov r13, [rbx + {message}]
    mov qword ptr [rbx + {failed}], 0
    xor r14d, r14d
.Ldescriptor:
    cmp r14d, [r13 + 4]
    jae .Llimits
    mov edi, [r12 + r14 * 4 + 4]
    mov esi, [r13 + r14 * 4 + 8]
    mov eax, {dup2}
    syscall
    test rax, rax
    js .Lleave
    inc r14d
    jmp .Ldescriptor
.Llimits:
    inc qword ptr [rbx + {failed}]
    mov r15, [r13 + 40]
    lea r14, [r13 + 48]
.Llimit:
    test r15, r15
    jz .Lcalls
    xor edi, edi
    mov rsi, [r14]
    lea rdx, [r14 + 8]
    xor r10d, r10d
    mov eax, {prlimit}
    syscall
    test rax, rax
    js .Lleave
    add r14, 24
    dec r15
    jmp .Llimit
# The calls that are the same for every run.
.Lcalls:
    mov r14, [rbx + {calls}]
    mov r15, [rbx + {call_count}]
.Lcall:
    inc qword ptr [rbx + {failed}]
    xor eax, eax
    test r15, r15
    jz .Lleave
    mov rax, [r14]
    mov rdi, [r14 + 8]
    mov rsi, [r14 + 16]
    mov rdx, [r14 + 24]
    mov r10, [r14 + 32]
    mov r8, [r14 + 40]
    syscall
    test rax, rax
    js .Lleave
    add r14, 48
    dec r15
    jmp .Lcall
.Lover:
    mov eax, 1
.Lleave:
    add rsp, 16
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    ret
.Lhighest:
    .ascii "1000"
    .hidden assay_fork_server_end
    .globl assay_fork_server_end
assay_fork_server_end:
# So that the end has an address of its own.
    .byte 0
    .popsection
