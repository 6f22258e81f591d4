//! Exec: create, start, inspect.

wire! {
    /// Body of `POST /containers/{id}/exec`.
    pub struct ExecCreateBody {
        user: String = "User",
        privileged: bool = "Privileged",
        tty: bool = "Tty",
        /// Height and width.
        console_size: Option<[u32; 2]> = "ConsoleSize" @omit,
        attach_stdin: bool = "AttachStdin",
        attach_stderr: bool = "AttachStderr",
        attach_stdout: bool = "AttachStdout",
        detach_keys: String = "DetachKeys",
        env: Option<Vec<String>> = "Env",
        working_dir: String = "WorkingDir",
        cmd: Option<Vec<String>> = "Cmd",
    }

    /// Its answer.
    pub struct ExecCreateAnswer {
        id: String = "Id",
    }

    /// Body of `POST /exec/{id}/start`.
    pub struct ExecStartBody {
        detach: bool = "Detach",
        tty: bool = "Tty",
        /// Height and width.
        console_size: Option<[u32; 2]> = "ConsoleSize" @omit,
    }

    /// `GET /exec/{id}/json`.
    pub struct ExecInspect {
        id: String = "ID",
        running: bool = "Running",
        exit_code: Option<i64> = "ExitCode",
        process_config: ExecProcess = "ProcessConfig",
        open_stdin: bool = "OpenStdin",
        open_stderr: bool = "OpenStderr",
        open_stdout: bool = "OpenStdout",
        can_remove: bool = "CanRemove",
        container_id: String = "ContainerID",
        detach_keys: String = "DetachKeys",
        pid: i64 = "Pid",
    }

    /// The command of an exec.
    pub struct ExecProcess {
        tty: bool = "tty",
        entrypoint: String = "entrypoint",
        arguments: Vec<String> = "arguments",
        privileged: Option<bool> = "privileged" @omit,
        user: String = "user" @omit,
    }
}
