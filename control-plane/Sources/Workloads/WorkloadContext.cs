using Mesh.Api.Logging;

namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>What all parts that write workloads into the registry share. Immutable.</summary>
/// <param name="Options">How workloads are kept.</param>
/// <param name="Clock">Time and chance.</param>
/// <param name="Log">Where they write lines.</param>
/// <param name="Events">Their instruments and repeated lines.</param>
internal sealed record WorkloadContext(WorkloadOptions Options, SourceClock Clock, Log Log, KeeperEvents Events);
