using System.Collections.Immutable;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Rules;

/// <summary>What came out of a set of rule files: usable only when <see cref="Errors"/> is empty. Immutable.</summary>
/// <param name="Rules">The documents that were right.</param>
/// <param name="Errors">Everything wrong in all files, in order of file and line.</param>
/// <param name="Warnings">What was understood and has no effect here.</param>
internal sealed record ParsedRules(RuleSet Rules, ImmutableArray<RuleError> Errors, ImmutableArray<RuleError> Warnings);
