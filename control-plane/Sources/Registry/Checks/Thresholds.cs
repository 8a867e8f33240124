using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry.Checks;

/// <summary>Holds a check's state until enough results in a row speak against it. One owner, no clock.</summary>
internal sealed class Thresholds(CheckDefinition check, string initialStatus)
{
    private string status = initialStatus;
    private int successes;
    private int failures;

    /// <summary>Takes a result in; answers the state that the check has now.</summary>
    public string Add(string result)
    {
        if (result == CheckStatus.Critical)
        {
            failures++;
            successes = 0;
            if (failures > check.FailuresBeforeCritical) status = CheckStatus.Critical;
            else if (failures > check.FailuresBeforeWarning) status = CheckStatus.Warning;
        }
        else
        {
            successes++;
            failures = 0;
            if (successes > check.SuccessBeforePassing) status = result;
        }

        return status;
    }
}
